"""`millrace serve`: the prediction server on a folder of bundles, without a site."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from millrace.cli.app import app, examples
from millrace.problem import Problem

PORT = 8080


@app.command(epilog=examples("millrace serve models", "millrace serve models/iris --port 9000"))
def serve(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A bundle; or a folder of them, DIR/MODEL or DIR/MODEL/VERSION: the newest is served, "
            "of versions that are whole numbers.",
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0: any that is free.")] = PORT,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="To listen on.")] = "127.0.0.1",
    anyone: Annotated[
        bool, typer.Option("--anyone", help="Listen beyond this machine: without TLS, everybody may ask.")
    ] = False,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="A line of JSON for each request.")
    ] = False,
) -> None:
    """Serve models from a folder on this machine: the same server and the same gate as on a site.

    What changes in the folder is followed: a new version is verified and switched to, a bad one refused.
    """
    try:
        from millrace.serving.local import is_loopback, serve_folder
    except ModuleNotFoundError as error:
        raise Problem(f"{error.name} is not installed: pip install millrace") from error

    if not is_loopback(host) and not anyone:
        raise Problem(
            f"{host} is reached from beyond this machine, and there is no TLS here: say --anyone if that is "
            "meant, or put a gateway in front."
        )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    # What the replica would say of switches is said by line already.
    serve_folder(directory, host, port, _say, access_log=access_log)


def _say(line: str) -> None:
    print(line, flush=True)
