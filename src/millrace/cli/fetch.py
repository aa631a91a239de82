"""`millrace fetch`."""

from __future__ import annotations

from typing import Annotated

import typer

from millrace.cli.app import app, examples


def complete_component(incomplete: str) -> list[str]:
    from millrace.artifacts import load_bom

    return [name for name in load_bom().components if name.startswith(incomplete)]


@app.command(epilog=examples("millrace fetch", "millrace fetch kafka spark"))
def fetch(
    components: Annotated[
        list[str] | None, typer.Argument(help="Only these components.", autocompletion=complete_component)
    ] = None,
) -> None:
    """Fill the artifact store with what hosts install, by the registries' own clients."""
    from millrace.artifacts import ArtifactError, fetch
    from millrace.problem import Problem

    try:
        fetch(components or None)
    except ArtifactError as error:
        raise Problem(str(error)) from error
