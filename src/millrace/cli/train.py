"""`millrace train`: an example of the repository, trained from this machine through the gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from millrace import project
from millrace.cli.app import DEMO, Inventory, SiteName, app, examples
from millrace.problem import Problem
from millrace.site import Site


def complete_example(incomplete: str) -> list[str]:
    return [name for name in project.examples() if name.startswith(incomplete)]


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog=examples("millrace train iris", "millrace train flights && millrace deploy flights"),
)
def train(
    context: typer.Context,
    example: Annotated[str, typer.Argument(help="iris, flights, ...", autocompletion=complete_example)],
    site: SiteName = DEMO,
    inventory: Inventory = None,
) -> None:
    """Train an example's model and register it; further words go to its train.py."""
    from millrace.cli import environments, program
    from millrace.cli.screen import Screen
    from millrace.site import find

    check_example(example)
    there = find(site, inventory)
    screen = Screen()
    with program.ended_with_us(), screen.shown():
        line = screen.begin("training environment")
        python = environments.make(environments.TRAINING, there.directory / "logs" / "train.log", line.note)
        screen.end(line, "done", str(python.parent.parent))
    words, variables = command(there, python, example, context.args)
    sys.exit(subprocess.run(words, env=variables, check=False).returncode)


def check_example(name: str) -> None:
    """Raises Problem, with the nearest name, when there is no such example."""
    from millrace.cli.services import nearest

    known = project.examples()
    if name not in known:
        raise Problem(f"There is no example {name}{nearest(name, known)} The examples: {', '.join(known)}.")


def command(
    site: Site, python: Path, example: str, args: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """Command line and environment that train an example against a site."""
    script = project.root() / "examples" / example / "train.py"
    variables = {
        **os.environ,
        **site.environment(),
        "PYTHONPATH": str(project.root() / "src"),
        "PYTHONUNBUFFERED": "1",
    }
    # The site's names are reached directly, whatever proxy this machine uses for the world.
    here = site.gateway.rsplit(":", 1)[0]
    for name in ("no_proxy", "NO_PROXY"):
        variables[name] = ",".join(filter(None, [variables.get(name), here]))
    return [str(python), str(script), *args], variables
