"""`millrace env`: what a client of the site needs."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from millrace.cli.app import DEMO, Inventory, SiteName, app, examples


@app.command(
    epilog=examples(
        'eval "$(millrace env)"',
        "millrace env --user scientist > scientist.env",
        'eval "$(millrace env --unset)"',
    )
)
def env(
    site: SiteName = DEMO,
    inventory: Inventory = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="As whom; else MILLRACE_USER, else an operator.")
    ] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Take the variables away again.")] = False,
) -> None:
    """Print shell lines that point any client at the site: curl, MLflow, Spark Connect, the SDK."""
    from millrace.site import find

    variables = find(site, inventory).environment(user)
    typer.echo(unset_lines(variables) if unset else export_lines(variables))


def export_lines(variables: dict[str, str]) -> str:
    """One `export` line for each variable, quoted for any POSIX shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def unset_lines(variables: dict[str, str]) -> str:
    """One `unset` line for each variable."""
    return "\n".join(f"unset {name}" for name in variables)
