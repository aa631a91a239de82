"""Tables of `millrace status`."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from millrace.cli.probe import HostState, Unit
from millrace.cli.services import SERVICES, Service
from millrace.site import Host, Site

Targets = Sequence[tuple[dict[str, str], float]]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def gigabytes(used: int, size: int) -> str:
    return f"{used / 1e9:.1f} of {size / 1e9:.1f} GB"


def hosts_table(site: Site, states: Mapping[str, HostState | None]) -> Table:
    """A line for each host."""
    table = _table("HOST", "ADDRESS", "LOAD", "MEMORY", "DISK", "GROUPS")
    for host in site.hosts:
        state = states[host.name]
        if state is None:
            table.add_row(host.name, host.address, Text("out of reach", "red"), "", "", " ".join(host.groups))
            continue
        table.add_row(
            host.name,
            host.address,
            f"{state.load:.1f} on {state.cores} cores",
            gigabytes(state.memory_used, state.memory),
            gigabytes(state.disk_used, state.disk),
            " ".join(host.groups),
        )
    return table


def services_table(
    site: Site, states: Mapping[str, HostState | None], targets: Targets
) -> tuple[Table, bool]:
    """A line for each service of each host, and whether all are well."""
    table, well = _table("SERVICE", "HOST", "STATE", "MEMORY", "SCRAPED"), True
    for service in SERVICES:
        for host in service.hosts(site):
            state = states[host.name]
            units = units_of(service, state.units) if state else ()
            health, fine = scraped(service, host, targets)
            running = bool(units) and all(unit.active == "active" for unit in units)
            well = well and running and fine
            table.add_row(
                service.name,
                host.name,
                Text(state_of(units) if state else "out of reach", "green" if running else "red"),
                f"{sum(unit.memory for unit in units) / 1e6:.0f} MB" if units else "",
                Text(health, "" if fine else "red"),
            )
    return table, well


def units_of(service: Service, units: Sequence[Unit]) -> tuple[Unit, ...]:
    """The units of a service among those of a host; one that systemd has never heard of is inactive."""
    return tuple(unit for unit in units if fnmatch.fnmatch(unit.name, service.unit))


def state_of(units: Sequence[Unit]) -> str:
    """`running`, `2 running`, or the states of those that are not."""
    if not units:
        return "not there"
    bad = [unit for unit in units if unit.active != "active"]
    if bad:
        names = [f"{unit.name.removesuffix('.service')} " if len(units) > 1 else "" for unit in bad]
        return ", ".join(f"{name}{unit.active} ({unit.sub})" for name, unit in zip(names, bad, strict=True))
    restarts = sum(unit.restarts for unit in units)
    count = f"{len(units)} " if len(units) > 1 else ""
    return f"{count}running" + (f", {restarts} restarts" if restarts else "")


def scraped(service: Service, host: Host, targets: Targets) -> tuple[str, bool]:
    """What Prometheus says of a service on a host, and whether it is well; no target is well."""
    job = service.job or service.name.replace("-", "_")
    mine = [value for labels, value in targets if (labels.get("job"), labels.get("host")) == (job, host.name)]
    if not mine:
        return "", True
    up = sum(value == 1 for value in mine)
    return ("up" if up == len(mine) == 1 else f"{up} of {len(mine)} up"), up == len(mine)


def models_table(models: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each deployed model."""
    table = _table("MODEL", "VERSION", "DIGEST", "REPLICAS", "REQUESTS", "BY")
    for model in models:
        table.add_row(
            str(model["model"]),
            str(model["version"]),
            str(model["digest"]).removeprefix("sha256:")[:12],
            str(len(model.get("replicas") or ())),
            f"{model['requests']:.0f}",
            str(model.get("user", "")),
        )
    if not models:
        table.add_row(Text("none deployed", "dim"), *[""] * 5)
    return table
