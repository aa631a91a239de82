"""`millrace ssh`."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

from millrace.cli.app import DEMO, Inventory, SiteName, app, examples


def complete_host(incomplete: str) -> list[str]:
    from millrace.site import find

    return [h.name for h in find(DEMO).hosts if h.name.startswith(incomplete)]


@app.command(
    # Options that are not ours belong to the command that runs there.
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        "millrace ssh node1",
        "millrace ssh node1 systemctl status haproxy --no-pager",
        "millrace ssh node1 'df -h | head'",
    ),
)
def ssh(
    host: Annotated[str, typer.Argument(help="A host of the site.", autocompletion=complete_host)],
    command: Annotated[list[str] | None, typer.Argument(help="Run this there instead of a shell.")] = None,
    site: SiteName = DEMO,
    inventory: Inventory = None,
) -> None:
    """Log in at a host of the site, or run a command there."""
    from millrace.site import find

    there = find(site, inventory)
    line = [command[0] if len(command) == 1 else shlex.join(command)] if command else []
    words = there.ssh(there.host(host), *line)
    os.execvp(words[0], words)
