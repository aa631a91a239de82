"""The prediction server alone: on a folder of bundles, without a site."""

from __future__ import annotations

import asyncio
import json
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from millrace.models import Bundle
from millrace.models.bundle import MANIFEST
from millrace.problem import Problem
from millrace.serving.config import Kafka, Registry, ServingConfig
from millrace.serving.folder import Folder, FolderStore, find
from millrace.serving.server import assemble, serve

LOOPBACK = ("localhost", "::1")


def serve_folder(
    folder: Path, host: str, port: int, say: Callable[[str], None], *, access_log: bool = False
) -> None:
    """Serve the bundles of a folder, and what changes there, until SIGINT or SIGTERM.

    Port 0 is the system's choice. `say` gets a line for each model that comes or is refused, and where to
    ask. Raises Problem when there is nothing to serve or the port is taken.
    """
    _check(folder)
    port = _check_port(host, port)
    config = ServingConfig(
        name=host,
        address=host,
        port=port,
        state_dir="",
        kafka=Kafka([]),
        registry=Registry(""),
        access_log=access_log,
        drain_seconds=0.0,
    )
    store = FolderStore()
    parts = assemble(config, store, CollectorRegistry())
    watched = Folder(folder, store, parts.replica, say)
    if not watched.begin():
        raise Problem(f"{folder} has no bundle that can be served: see the lines above.")

    def ready(found: int) -> None:
        say(_how_to_ask(watched, store, host, found))

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(parts, config, port, watched.follow, ready))
    except OSError as error:
        raise Problem(f"Port {port} of {host} cannot be listened on: {error.strerror}.") from error
    finally:
        watched.stop()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host in LOOPBACK or host.startswith("127.")


def _check(folder: Path) -> None:
    """Raises Problem for a folder without bundles."""
    if not folder.is_dir():
        raise Problem(f"There is no folder {folder}.")
    if find(folder):
        return
    if any(each for each in folder.iterdir() if not each.name.startswith(".")):
        raise Problem(
            f"{folder} is neither a bundle nor a folder of bundles: {MANIFEST} is looked for in {folder}/, "
            f"{folder}/MODEL/ and {folder}/MODEL/VERSION/. `millrace bundle` makes bundles."
        )
    raise Problem(
        f"{folder} is empty: `millrace bundle MODEL --rows ROWS --out {folder}/NAME` makes a bundle."
    )


def _check_port(host: str, port: int) -> int:
    """The port, if it is free; a free one for 0. Raises Problem, before models are loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise Problem(
            f"Port {port} of {host} cannot be had ({error.strerror}): end what has it, or say --port."
        ) from error


def _how_to_ask(watched: Folder, store: FolderStore, host: str, port: int) -> str:
    """Where it listens, and a line that asks the first model for a row that it is known to answer."""
    name = next(iter(watched.live))
    record = watched.live[name]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    body = json.dumps(
        {"instances": [_row(store.bundle(name, record.version, record.digest))]}, ensure_ascii=False
    )
    many = len(watched.live)
    return (
        f"{many} model{'s' if many > 1 else ''} on {url}, an end by Ctrl-C. Ask:\n"
        f"  curl -s {url}/v1/models/{name}:predict -d {shlex.quote(body)}"
    )


def _row(bundle: Bundle) -> dict[str, Any]:
    """The first verification row, by column."""
    inputs = bundle.verification().inputs
    row = {name: _plain(array[:1]) for name, array in inputs.items()}
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in row.items()
    }


def _plain(row: NDArray[Any]) -> Any:
    """A row as JSON has it, without NaN: a missing number is null."""
    values = row.astype(object)
    if row.dtype.kind == "f":
        values[np.isnan(row)] = None
    return values.tolist()[0]
