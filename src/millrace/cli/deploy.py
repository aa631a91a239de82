"""`millrace deploy`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

import millrace
from millrace.cli.app import DEMO, Inventory, SiteName, app, examples
from millrace.problem import Problem

SERVED = "How it is served (what is not said stays as it was)"


@app.command(
    epilog=examples(
        "millrace deploy iris",
        "millrace deploy iris --deadline 0.5",
        "millrace deploy flights:3 --deadline 0.5 --fallback version:previous",
    )
)
def deploy(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[:VERSION]", help="Without a version: the newest; with options, the live one."
        ),
    ],
    deadline: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Then 504.", rich_help_panel=SERVED)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Calls at one time in a process.", rich_help_panel=SERVED)
    ] = None,
    queue: Annotated[
        int | None, typer.Option(help="Calls that may wait; then 503.", rich_help_panel=SERVED)
    ] = None,
    breaker: Annotated[
        bool | None, typer.Option(help="Leave it alone when it fails.", rich_help_panel=SERVED)
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Answers in its place: version:N, version:previous, model:NAME, constant:JSON, or none.",
            rich_help_panel=SERVED,
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="ROWS[:SECONDS]", help="Compute requests together; or none.", rich_help_panel=SERVED
        ),
    ] = None,
    site: SiteName = DEMO,
    inventory: Inventory = None,
) -> None:
    """Make a registered model version live on every replica, or on none. An older version goes back to it."""
    from millrace.cli.sdk import pointed_at
    from millrace.site import find

    policy = changes(deadline, concurrency, queue, breaker, fallback, batch)
    name, colon, version = model.partition(":")
    if not name or (colon and not version):
        raise Problem(f"{model!r} is no model: say MODEL, or MODEL:VERSION as in iris:1.")
    with pointed_at(find(site, inventory)):
        record = millrace.deploy(name, version or None, policy or None)
    typer.echo(sentence(record))


def changes(
    deadline: float | None,
    concurrency: int | None,
    queue: int | None,
    breaker: bool | None,
    fallback: str | None,
    batch: str | None,
) -> dict[str, Any]:
    """The changes of a policy that options ask for. Raises Problem."""
    given: dict[str, Any] = {"deadline_seconds": deadline, "concurrency": concurrency, "queue": queue}
    policy = {name: value for name, value in given.items() if value is not None}
    if breaker is not None:
        policy["breaker"] = {} if breaker else None
    if fallback is not None:
        policy["fallback"] = None if fallback == "none" else _fallback(fallback)
    if batch is not None:
        policy["batching"] = None if batch == "none" else _batch(batch)
    return policy


def _fallback(text: str) -> dict[str, Any]:
    kind, colon, value = text.partition(":")
    if not colon or not value or kind not in ("version", "model", "constant"):
        raise Problem(
            f"--fallback {text}: say version:N, version:previous, model:NAME, constant:JSON, or none."
        )
    if kind != "constant":
        return {kind: value}
    try:
        constant = json.loads(value)
    except ValueError as error:
        raise Problem(
            f'--fallback {text} is not JSON ({error}): write constant:{{"output": value}}.'
        ) from error
    return {"constant": constant}


def _batch(text: str) -> dict[str, Any]:
    rows, _, seconds = text.partition(":")
    try:
        return {"rows": int(rows)} | ({"wait_seconds": float(seconds)} if seconds else {})
    except ValueError:
        raise Problem(f"--batch {text}: say how many rows, and how long one waits, as in 64:0.002.") from None


def sentence(record: dict[str, object]) -> str:
    """A deployment record in one line."""
    replicas = record.get("replicas") or []
    count = f" on {len(replicas)} replicas" if isinstance(replicas, list) else ""
    return f"{record['model']}:{record['version']} is live{count}, {record['digest']}"
