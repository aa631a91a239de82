"""`millrace deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

import millrace
from millrace.cli.app import DEMO, Inventory, SiteName, app, examples


@app.command(epilog=examples("millrace deploy iris", "millrace deploy flights:3"))
def deploy(
    model: Annotated[str, typer.Argument(metavar="MODEL[:VERSION]", help="Without a version: the newest.")],
    site: SiteName = DEMO,
    inventory: Inventory = None,
) -> None:
    """Make a registered model version live on every replica, or on none. An older version goes back to it."""
    from millrace.cli.sdk import pointed_at
    from millrace.site import find

    name, _, version = model.partition(":")
    with pointed_at(find(site, inventory)):
        record = millrace.deploy(name, version or None)
    typer.echo(sentence(record))


def sentence(record: dict[str, object]) -> str:
    """A deployment record in one line."""
    replicas = record.get("replicas") or []
    count = f" on {len(replicas)} replicas" if isinstance(replicas, list) else ""
    return f"{record['model']}:{record['version']} is live{count}, {record['digest']}"
