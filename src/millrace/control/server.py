"""Puts the control service together and runs it."""

import asyncio
import contextlib
import logging
import shutil
from pathlib import Path

from prometheus_client import REGISTRY

from millrace.control.app import App
from millrace.control.config import ControlConfig
from millrace.control.deployer import Deployer, Refused
from millrace.control.fleet import Fleet
from millrace.control.gate import Gate
from millrace.control.log import DeploymentLog
from millrace.serving.asgi import Server, uvicorn_config
from millrace.serving.host import notify_systemd, watch_certificate

log = logging.getLogger("millrace.control")
_LOOK_S = 30.0
_SETTLE_S = 5.0


def run(config: ControlConfig) -> None:
    """Serve until SIGTERM; a deployment that has begun is brought to its end."""
    secret = Path(config.gateway_secret_file).read_text().strip() if config.gateway_secret_file else ""
    work_dir = Path(config.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    for left in work_dir.glob("gate-*"):
        shutil.rmtree(left, ignore_errors=True)

    records = DeploymentLog(config.kafka, config.tls, f"{config.name}:{config.port}")
    deployer = Deployer(
        records,
        Fleet(config.replicas_srv, config.replicas, config.tls),
        Gate(config.registry.url, work_dir, config.tls),
        config.prepare_seconds,
        config.switch_seconds,
    )
    app = App(config, deployer, REGISTRY, secret)
    longest = config.prepare_seconds + config.switch_seconds + 20
    uv = uvicorn_config(app, config.address, config.port, config.tls, longest)
    look = watch_certificate(uv.ssl, config.tls) if config.tls and uv.ssl else None

    async def keep() -> None:
        loop = asyncio.get_running_loop()
        settled = False
        while not settled:
            try:
                await loop.run_in_executor(None, deployer.settle)
                settled = True
            except Refused as error:
                log.info("not settled yet: %s", error)
                await asyncio.sleep(_SETTLE_S)
        while True:
            await asyncio.sleep(_LOOK_S)
            if look:
                with contextlib.suppress(OSError):
                    look()

    async def serve() -> None:
        beside = asyncio.create_task(keep())
        server = Server(uv, lambda: 0.0, lambda: notify_systemd("READY=1"))
        try:
            await server.serve()
        finally:
            records.stop()
            beside.cancel()

    records.start()
    with asyncio.Runner(loop_factory=uv.get_loop_factory()) as runner:
        runner.run(serve())
