"""`millrace down`: what demo made on this machine goes; the artifact store stays."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from millrace.cli.app import DEMO, SiteName, app, examples


@app.command(epilog=examples("millrace down", "millrace down --site trial --keep-images"))
def down(
    site: SiteName = DEMO,
    keep_images: Annotated[bool, typer.Option("--keep-images", help="The next demo builds none.")] = False,
) -> None:
    """Remove a demo site: containers, networks, volumes, the image, its state. It asks nothing."""
    from millrace.box import engine, host, image
    from millrace.cli import lock
    from millrace.site import check_name, state_root

    directory = state_root() / check_name(site)
    with lock.held(site):
        client = engine.answering()
        if client is None:
            gone = []
            _check_nothing_comes_back(directory)
            typer.echo(f"No Docker engine answers at {engine.endpoint()}: nothing of it can be running.")
        else:
            gone = host.remove_all(client, site)
        if directory.exists():
            shutil.rmtree(directory)
            gone.append(f"state {directory}")
        for name in gone:
            typer.echo(f"removed {name}")
        if not gone:
            typer.echo(f"There is no site {site} here.")
        # A name that is no site's may be a typing error: what sites share stays.
        if client is not None and (gone or site == DEMO):
            typer.echo(f"image {image.TAG} kept" if keep_images else image.remove(client))
            typer.echo(engine.end_own(client))
    for empty in (state_root() / ".locks", state_root()):
        with contextlib.suppress(OSError):
            empty.rmdir()
    typer.echo(
        f"The artifact store {_store()} stays: the next demo fetches nothing. Delete it to free the space."
    )


def _check_nothing_comes_back(directory: Path) -> None:
    """Containers start with the engine, and without the state nobody could reach them. Raises Problem."""
    from millrace.box import engine
    from millrace.problem import Problem
    from millrace.site import Site

    try:
        containers = Site.read(directory).containers
    except (FileNotFoundError, Problem):
        return
    elsewhere = os.environ.get("DOCKER_HOST")
    if containers and (elsewhere or engine.program()):
        how = "start it" if elsewhere else "start the engine (`./millrace demo` starts one)"
        raise Problem(
            f"No Docker engine answers at {engine.endpoint()}, and site {directory.name} has containers that "
            f"come back with it: {how}, then run down again."
        )


def _store() -> str:
    from millrace.artifacts import Store

    return str(Store(None).root)
