"""Puts a replica together and runs it."""

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry

from millrace.serving.access_log import AccessLog
from millrace.serving.app import App
from millrace.serving.config import ServingConfig
from millrace.serving.host import notify_systemd
from millrace.serving.http import Limits, Listener
from millrace.serving.internal import Internal
from millrace.serving.lifecycle import listen_until_told, run_to_its_end
from millrace.serving.metrics import ServingMetrics
from millrace.serving.replica import Placed, Replica, Store
from millrace.serving.versions import Shelf

log = logging.getLogger("millrace.serving")
_TICK_S = 5.0
_FINISH_S = 20.0


@dataclass
class Parts:
    """A replica, what it serves, and where it listens."""

    replica: Replica
    app: App
    listener: Listener


def assemble(
    config: ServingConfig,
    store: Store,
    registry: CollectorRegistry,
    refresh: Callable[[float], None] | None = None,
) -> Parts:
    """The parts of a server on a store. `refresh` says that control may ask it: see `Internal`."""
    metrics = ServingMetrics()
    shelf = Shelf(config.loaded_models, config.loaded_bytes, config.max_rows)

    def switch(placed: dict[str, Placed]) -> None:
        app.switch(placed)

    replica = Replica(store, shelf, switch, config.hold_seconds, config.keep_seconds)
    internal = Internal(config, replica, refresh) if refresh else None
    app = App(config, replica, shelf, metrics, registry, internal)
    registry.register(metrics)
    limits = Limits(
        body=config.max_body_bytes,
        pending=config.max_pending_bytes,
        head_seconds=config.head_seconds,
        body_seconds=config.body_seconds,
    )
    listener = Listener(app.handle, limits, metrics.refused, app.rows)
    if config.access_log:
        listener.answered = AccessLog(sys.stdout).write
    return Parts(replica, app, listener)


async def serve(
    parts: Parts,
    config: ServingConfig,
    port: int,
    begin: Callable[[], None],
    ready: Callable[[int], None],
    local: Path | None = None,
) -> None:
    """Listen until SIGTERM or SIGINT, then drain and return.

    `begin` runs in a thread once it listens, `ready` is told the port when all models answer. `local` is a
    Unix socket to listen at as well.
    """

    def drain() -> float:
        parts.app.draining = True
        return config.drain_seconds

    async def beside(port: int) -> None:
        await _keep(parts.replica, begin, lambda: ready(port))

    await listen_until_told(parts.listener, config.address, port, config.tls, beside, drain, _FINISH_S, local)


async def _keep(replica: Replica, begin: Callable[[], None], ready: Callable[[], None]) -> None:
    """What is done beside requests, every few seconds; at first often, to be ready soon."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, begin)
    told, ticked = False, loop.time()
    while True:
        if replica.ready and not told:
            told = True
            ready()
        await asyncio.sleep(_TICK_S if told else 0.05)
        if loop.time() - ticked < _TICK_S:
            continue
        await loop.run_in_executor(None, replica.tick)
        ticked = loop.time()


def run(config: ServingConfig, number: int) -> None:
    """Serve as replica `number` (from 1) until SIGTERM."""
    # Only here: a server on a folder has no client of Kafka installed, and needs no registry's.
    from millrace.serving.follower import Follower
    from millrace.serving.store import ReplicaStore

    port = config.port + number - 1
    name = f"{config.name}:{port}"
    store = ReplicaStore(Path(config.state_dir) / str(number), config.registry.url, config.tls)
    follower: Follower | None = None

    def refresh(seconds: float) -> None:
        assert follower
        follower.refresh(seconds)

    parts = assemble(config, store, REGISTRY, refresh)
    follower = Follower(config.kafka, config.tls, f"prediction.{name}", parts.replica)

    def begin() -> None:
        parts.replica.restore()
        follower.start()

    def ready(_: int) -> None:
        notify_systemd("READY=1")
        log.info("%s is ready, port %d", name, port)

    local = Path(config.socket_dir) / f"{number}.sock" if config.socket_dir else None
    run_to_its_end(serve(parts, config, port, begin, ready, local), follower.stop)
