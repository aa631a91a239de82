"""`millrace predict`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

import millrace
from millrace.cli.app import DEMO, Inventory, SiteName, app, examples
from millrace.problem import Problem

FLIGHT = (
    '\'{"carrier": "UA", "origin": "EWR", "dest": "IAH", '
    '"month": 1, "hour": 5, "distance": 1400, "dep_delay": 2}\''
)


@app.command(
    epilog=examples(
        f"millrace predict flights --row {FLIGHT}", "millrace predict iris --file examples/iris/rows.json"
    )
)
def predict(
    model: Annotated[str, typer.Argument(help="A deployed model.")],
    row: Annotated[
        list[str] | None, typer.Option(metavar="JSON", help="Column to value; may be repeated.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A JSON list of rows; - is the input.")
    ] = None,
    site: SiteName = DEMO,
    inventory: Inventory = None,
) -> None:
    """Ask a deployed model; one line of JSON for each row.

    When the model's fallback answered in its place, standard error says so.
    """
    from millrace.cli.sdk import pointed_at
    from millrace.site import find

    rows = read_rows(row or [], file)
    if ":" in model:
        name = model.partition(":")[0]
        raise Problem(f"{model}: the version that is live answers: say {name}, or deploy {model} first.")
    with pointed_at(find(site, inventory)), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        answers = millrace.predict(model, rows)
    for warning in warned:
        typer.echo(f"millrace: {warning.message}", err=True)
    for answer in answers:
        typer.echo(json.dumps(answer))


def read_rows(texts: list[str], file: Path | None) -> list[dict[str, Any]]:
    """Rows from options and a file. Raises Problem that says which one is not a row."""
    rows = [_json(text, f"--row {number}") for number, text in enumerate(texts, 1)]
    if file:
        try:
            text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text()
        except OSError as error:
            raise Problem(f"{file} is not readable: {error.strerror}.") from error
        listed = _json(text, str(file), '[{"column": value}, ...]')
        rows += listed if isinstance(listed, list) else [listed]
    if not rows:
        raise Problem("Give at least one row: --row '{\"column\": value, ...}' or --file rows.json.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise Problem(f"Row {number} is {json.dumps(row)[:60]}: a row is an object, column to value.")
    return rows


def _json(text: str, where: str, like: str = '{"column": value}') -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Problem(f"{where} is not JSON ({error}): write it as '{like}'.") from error
