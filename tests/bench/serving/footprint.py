"""Memory and time to be ready of one server process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.serving import load
from tests.bench.serving.cases import iris
from tests.bench.serving.models import copies
from tests.bench.serving.processes import Server
from tests.bench.serving.stack import serve

_BUSY_S = 1


@dataclass(frozen=True)
class Footprint:
    """Seconds from the start of the process until it is ready, and of CPU; MB when ready, and after load."""

    models: int
    ready_seconds: float
    cpu_seconds: float
    ready_mb: float
    busy_mb: float


def measure(tree: Path, scratch: Path, count: int) -> Footprint:
    """One `millrace serve` on `count` small models."""
    folder = scratch / f"small-{count}"
    copies(tree, folder, count)
    server = Server(scratch / f"small-{count}.log")
    begun = time.monotonic()
    try:
        url = serve(server, folder)
        ready = time.monotonic() - begun
        ready_mb, cpu = server.resident_mb(), server.cpu_seconds()
        for number in range(min(count, 10)):
            ask = iris(f"small-{number}")
            lua = load.script(ask, scratch / f"small-{number}.lua")
            load.run(url + ask.path, lua, _BUSY_S)
        return Footprint(count, ready, cpu, ready_mb, server.resident_mb())
    finally:
        server.stop()
