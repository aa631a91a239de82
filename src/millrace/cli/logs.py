"""`millrace logs`: the journal of a service, from every host that runs it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from typing import Annotated

import typer

from millrace.cli.app import DEMO, Inventory, SiteName, app, examples
from millrace.cli.services import SERVICES
from millrace.site import Host, Site


def complete_service(incomplete: str) -> list[tuple[str, str]]:
    return [(s.name, s.about) for s in SERVICES if s.name.startswith(incomplete)]


@app.command(
    epilog=examples(
        "millrace logs mlflow", "millrace logs gateway -f", "millrace logs kafka -n 500 --host node2"
    )
)
def logs(
    service: Annotated[
        str, typer.Argument(help="kafka, gateway, mlflow, ...", autocompletion=complete_service)
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what comes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines.")] = 50,
    host: Annotated[str | None, typer.Option(help="Only from this host.")] = None,
    site: SiteName = DEMO,
    inventory: Inventory = None,
) -> None:
    """Show what a service has logged."""
    from millrace.cli import services
    from millrace.problem import Problem
    from millrace.site import find

    wanted = services.find(service)
    there = find(site, inventory)
    members = [there.host(host)] if host else wanted.hosts(there)
    if not members:
        raise Problem(f"Site {there.name} has no host in the group {wanted.group}, which runs {wanted.name}.")
    words = ["journalctl", "--no-pager", "-u", wanted.unit, "-n", str(lines), *(["-f"] if follow else [])]
    if len(members) == 1:
        command = there.ssh(members[0], shlex.join(words))
        os.execvp(command[0], command)
    threads = [threading.Thread(target=_copy, args=(there, member, words), daemon=True) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _copy(site: Site, host: Host, words: list[str]) -> None:
    with subprocess.Popen(site.ssh(host, shlex.join(words)), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(f"{host.name}  {line}")
            sys.stdout.flush()
