"""How long a site takes to make, where the time goes, and what it weighs when it is idle.

    python -m tests.bench.site [--rounds N]

Makes hosts of a site `bench` and removes them. In one run, so that the numbers can be compared: what fetching
the artifacts and unpacking them on a fresh host takes by itself (with apt installing the same packages), and
what `site.yml` takes on another fresh host with an empty artifact store, with a full one, and a second time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from millrace import ansible
from millrace.artifacts import check
from millrace.box import engine, host
from millrace.cli import converge, steps
from millrace.cli.making import Making
from millrace.cli.screen import Screen
from millrace.cli.testing import free_port
from millrace.site import Site, state_root

NAME = "bench"
SETTLED_S = 60


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def fresh_host() -> Site:
    """A site of one host on which nothing was done yet."""
    client = engine.answering()
    if client:
        host.remove_all(client, NAME)
    making = Making(NAME, free_port(), None, ())
    steps.run(making.host_steps(), Screen())
    return making.site


def on_host(site: Site, command: str, source: Path | None = None) -> None:
    """Run a command on the host, its input from a file."""
    with open(source or os.devnull, "rb") as file:  # noqa: PTH123
        subprocess.run(site.ssh(site.hosts[0], command), stdin=file, stdout=subprocess.DEVNULL, check=True)


def fetch(store: Path) -> None:
    words = [sys.executable, "-m", "millrace.artifacts", "fetch"]
    subprocess.run(
        words, env={**os.environ, "MILLRACE_STORE": str(store)}, stdout=subprocess.DEVNULL, check=True
    )


def unpack(site: Site) -> None:
    """What no converge can go below: apt's packages, and every artifact's tar on the host."""
    packages = ansible.variables(site.inventories, ["site_packages"])[site.hosts[0].name]["site_packages"]
    names = sorted({name for group in packages if group != "machine" for name in packages[group]})
    on_host(site, "mkdir -p /usr/share/man/man1 /opt/bench && apt-get update -q")
    on_host(
        site,
        # As role base does it: services do not start before they are configured.
        "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && "
        f"DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends {' '.join(names)}",
    )
    for artifact in check():
        place = f"/opt/bench/{artifact.component}"
        on_host(site, f"mkdir {place} && tar -x -f - -C {place}", artifact.path)


def memory_mb(site: Site) -> tuple[float, float]:
    """Sum of all processes of the host: resident, and with shared pages counted once."""
    script = (
        "ps -eo rss= | awk '{s+=$1} END {print s}'; "
        "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ {s+=$2} END {print s}'"
    )
    run = subprocess.run(site.ssh(site.hosts[0], script), capture_output=True, text=True, check=True)
    resident, shared_once = (int(line) / 1024 for line in run.stdout.split())
    return resident, shared_once


def disk_mb() -> float:
    """What the host has written beside its image."""
    sizes = engine.connect().api.containers(size=True, filters={"name": host.name_of(NAME, "node1")})
    return float(sizes[0]["SizeRw"]) / 1e6


def quiet(text: str) -> None:
    pass


def main(rounds: int) -> None:
    console = Console(highlight=False)
    table = Table("what", *(f"run {n + 1}, s" for n in range(rounds)), box=None)
    times: dict[str, list[float]] = {}
    roles: list[str] = []

    def took(what: str, work: Callable[[], object]) -> None:
        times.setdefault(what, []).append(seconds(work))

    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="millrace-bench-", dir="/var/tmp") as scratch:
            took("fetch all artifacts", lambda store=Path(scratch): fetch(store))  # type: ignore[misc]
        site = fresh_host()
        took("unpack them, and apt", lambda site=site: unpack(site))  # type: ignore[misc]
        site = fresh_host()
        roles.clear()
        took("site.yml, fresh host", lambda site=site: converge.run(site, quiet, roles.append))  # type: ignore[misc]
        took("site.yml again", lambda site=site: converge.run(site, quiet, quiet))  # type: ignore[misc]
    for what, values in times.items():
        table.add_row(what, *(f"{value:.0f}" for value in values))
    alone = [f + u for f, u in zip(times["fetch all artifacts"], times["unpack them, and apt"], strict=True)]
    whole = [f + c for f, c in zip(times["fetch all artifacts"], times["site.yml, fresh host"], strict=True)]
    table.add_row("fetch and site.yml", *(f"{value:.0f}" for value in whole))
    table.add_row(
        "  as a ratio of fetch and unpack", *(f"{w / a:.2f}" for w, a in zip(whole, alone, strict=True))
    )
    console.print(table)
    console.print("\nRole by role, last run:")
    console.print("\n".join(roles))
    time.sleep(SETTLED_S)
    resident, shared_once = memory_mb(site)
    console.print(
        f"\nIdle after {SETTLED_S} s: {resident:.0f} MB resident "
        f"({shared_once:.0f} MB with shared pages counted once), {disk_mb():.0f} MB of disk"
    )
    host.remove_all(engine.connect(), NAME)
    shutil.rmtree(state_root() / NAME)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1)
    main(parser.parse_args().rounds)
