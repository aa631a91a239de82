"""One question to a host by ssh: its load, memory, disk, and the state of its units."""

from __future__ import annotations

import dataclasses
import shlex

from millrace.cli.services import SERVICES

PROPERTIES = "Id,ActiveState,SubState,MemoryCurrent,NRestarts"


@dataclasses.dataclass(frozen=True)
class Unit:
    """State of a systemd unit; `memory` in bytes, 0 when it is not known."""

    name: str
    active: str
    sub: str
    memory: int
    restarts: int


@dataclasses.dataclass(frozen=True)
class HostState:
    """A host as it sees itself; memory and disk in bytes."""

    cores: int
    load: float
    memory_used: int
    memory: int
    disk_used: int
    disk: int
    units: tuple[Unit, ...]


def command() -> str:
    """A shell line for the host; its answer is for `parse`."""
    patterns = shlex.join(service.unit for service in SERVICES)
    return (
        "nproc; cat /proc/loadavg; "
        "awk '/^MemTotal:/{t=$2} /^MemAvailable:/{a=$2} END{print (t-a)*1024, t*1024}' /proc/meminfo; "
        "df -B1 --output=used,size / | tail -1; "
        f"systemctl show --no-pager -p {PROPERTIES} -- {patterns}"
    )


def parse(answer: str) -> HostState:
    """What a host answered to `command`."""
    cores, load, memory, disk, *rest = answer.splitlines()
    blocks = [block for block in "\n".join(rest).split("\n\n") if block.strip()]
    memory_used, memory_all = (int(float(word)) for word in memory.split())
    disk_used, disk_all = (int(word) for word in disk.split())
    return HostState(
        cores=int(cores),
        load=float(load.split()[0]),
        memory_used=memory_used,
        memory=memory_all,
        disk_used=disk_used,
        disk=disk_all,
        units=tuple(_unit(block) for block in blocks),
    )


def _unit(block: str) -> Unit:
    fields = dict(line.split("=", 1) for line in block.strip().splitlines())
    return Unit(
        name=fields["Id"],
        active=fields["ActiveState"],
        sub=fields["SubState"],
        memory=_number(fields.get("MemoryCurrent", "")),
        restarts=_number(fields.get("NRestarts", "")),
    )


def _number(text: str) -> int:
    # systemd says "[not set]", or 2^64-1 where a counter is missing.
    return int(text) if text.isdigit() and int(text) < 1 << 60 else 0
