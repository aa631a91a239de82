"""Puts a replica together and runs it: uvicorn, TLS, records, signals."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import uvicorn
from prometheus_client import REGISTRY

from millrace.models import Bundle, verify
from millrace.serving.app import App
from millrace.serving.asgi import PeerProtocol
from millrace.serving.config import ServingConfig, Tls
from millrace.serving.follower import Follower
from millrace.serving.inference import ModelVersion
from millrace.serving.metrics import ServingMetrics
from millrace.serving.protocol import Signature
from millrace.serving.records import Record
from millrace.serving.replica import Loader, Replica
from millrace.serving.runtimes import load_runtime
from millrace.serving.store import ReplicaStore

log = logging.getLogger("millrace.serving")
_TICK_S = 5.0
# Longer than the gateway keeps an idle connection, so that it is never closed under a request.
_KEEP_ALIVE_S = 120
_FINISH_S = 20.0


class Server(uvicorn.Server):
    """uvicorn that says when it listens, and goes on for a while when it is asked to end."""

    def __init__(
        self, config: uvicorn.Config, drain: Callable[[], float], listening: Callable[[], None]
    ) -> None:
        """`drain` is called on SIGTERM and returns the seconds to go on serving."""
        super().__init__(config)
        self._listening = listening
        self._drain = drain
        self._ending = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._ending or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        self._ending = True
        timer = threading.Timer(self._drain(), super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


def uvicorn_config(
    app: object, address: str, port: int, tls: Tls | None, finish_seconds: float
) -> uvicorn.Config:
    """How the site's own services are run: one process, TLS with a client certificate demanded.

    Requests that run when it ends get `finish_seconds`.
    """
    secure = {}
    if tls:
        secure = {
            "ssl_certfile": tls.certificate,
            "ssl_keyfile": tls.key,
            "ssl_ca_certs": tls.ca,
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
        }
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=address,
        port=port,
        loop="uvloop",
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(finish_seconds),
        **secure,  # type: ignore[arg-type]
    )
    config.load()
    return config


def watch_certificate(context: ssl.SSLContext, tls: Tls) -> Callable[[], None]:
    """A function that loads the certificate anew when its file has changed: renewal needs no restart."""
    seen = Path(tls.certificate).stat().st_mtime_ns

    def look() -> None:
        nonlocal seen
        now = Path(tls.certificate).stat().st_mtime_ns
        if now != seen:
            context.load_cert_chain(tls.certificate, tls.key)
            seen = now
            log.info("the renewed certificate is in use")

    return look


def notify_systemd(state: str) -> None:
    """Tell systemd (Type=notify) a state as of sd_notify(3); does nothing where systemd did not ask."""
    place = os.environ.get("NOTIFY_SOCKET")
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(state.encode(), "\0" + place[1:] if place.startswith("@") else place)


def loader(metrics: ServingMetrics, max_rows: int) -> Loader:
    """What turns a bundle into a version in memory, warm."""

    def load(record: Record, bundle: Bundle, check: bool) -> ModelVersion:
        runtime = load_runtime(bundle)
        if check:
            verify(bundle, runtime)
        rows = bundle.verification()
        # The first calls are slow; they are ours. One row takes another way than many.
        for count in (1, rows.rows):
            runtime.run({name: array[:count] for name, array in rows.inputs.items()})
        missing = {
            name
            for name, array in rows.inputs.items()
            if array.dtype.kind == "f" and bool(np.isnan(array).any())
        }
        return ModelVersion(
            record.model,
            record.version,
            record.digest,
            Signature(bundle.inputs, bundle.outputs, missing),
            runtime,
            metrics.of(record.model, record.version),
            max_rows,
        )

    return load


def run(config: ServingConfig, number: int) -> None:
    """Serve as replica `number` (from 1) until SIGTERM."""
    port = config.port + number - 1
    name = f"{config.name}:{port}"
    store = ReplicaStore(Path(config.state_dir) / str(number), config.registry.url, config.tls)
    metrics = ServingMetrics()
    replica = Replica(
        store,
        loader(metrics, config.max_rows),
        lambda models: app.switch(models),
        config.hold_seconds,
        config.keep_seconds,
    )
    follower = Follower(config.kafka, config.tls, f"prediction.{name}", replica)
    app = App(config, replica, metrics, REGISTRY, follower.refresh)
    metrics.generations = replica.generations
    metrics.ready = lambda: replica.ready
    REGISTRY.register(metrics)

    uv = uvicorn_config(app, config.address, port, config.tls, _FINISH_S)
    look = watch_certificate(uv.ssl, config.tls) if config.tls and uv.ssl else None
    told = threading.Event()

    def begin() -> None:
        replica.restore()
        follower.start()

    def drain() -> float:
        app.draining = True
        notify_systemd("STOPPING=1")
        return config.drain_seconds

    async def keep() -> None:
        """What is done beside requests, every few seconds; at first often, to be ready soon."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, begin)
        ticked = time.monotonic()
        while True:
            if replica.ready and not told.is_set():
                told.set()
                notify_systemd("READY=1")
                log.info("%s is ready, port %d", name, port)
            await asyncio.sleep(_TICK_S if told.is_set() else 0.05)
            if time.monotonic() - ticked < _TICK_S:
                continue
            await loop.run_in_executor(None, replica.tick)
            ticked = time.monotonic()
            if look:
                look()

    async def serve() -> None:
        beside = asyncio.create_task(keep())
        beside.add_done_callback(_end_with)
        try:
            await Server(uv, drain, lambda: None).serve()
        finally:
            follower.stop()
            beside.cancel()

    with asyncio.Runner(loop_factory=uv.get_loop_factory()) as runner:
        runner.run(serve())


def _end_with(task: asyncio.Task[None]) -> None:
    # A replica that no longer looks after itself must not go on as if it did: systemd starts it anew.
    if not task.cancelled() and task.exception():
        log.critical("giving up", exc_info=task.exception())
        os._exit(1)
