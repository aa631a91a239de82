"""Puts the control service together and runs it."""

import asyncio
import logging
import shutil
from pathlib import Path

from prometheus_client import REGISTRY

from millrace.control.app import MAX_BODY, App
from millrace.control.config import ControlConfig
from millrace.control.deployer import Deployer, Refused
from millrace.control.fleet import Fleet
from millrace.control.gate import Gate
from millrace.control.log import DeploymentLog
from millrace.serving.host import notify_systemd
from millrace.serving.http import Limits, Listener
from millrace.serving.lifecycle import listen_until_told, run_to_its_end

log = logging.getLogger("millrace.control")
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
    listener = Listener(app.handle, Limits(body=MAX_BODY))

    async def beside(_: int) -> None:
        notify_systemd("READY=1")
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(None, deployer.settle)
            except Refused as error:
                log.info("not settled yet: %s", error)
                await asyncio.sleep(_SETTLE_S)
            else:
                break
        # Settled once is settled.
        await asyncio.Event().wait()

    longest = config.prepare_seconds + config.switch_seconds + 20
    records.start()
    run_to_its_end(
        listen_until_told(listener, config.address, config.port, config.tls, beside, lambda: 0.0, longest),
        records.stop,
    )
