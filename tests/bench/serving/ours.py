"""python -m tests.bench.serving.ours FOLDER PORT CERTIFICATE SOCKET: `millrace serve` as on a site.

There a server speaks TLS to a gateway on another host and knows it by its certificate; the gateway of its own
host comes by a Unix socket.
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from millrace.serving.config import Kafka, Registry, ServingConfig, Tls
from millrace.serving.folder import Folder, FolderStore
from millrace.serving.server import assemble, serve


def main(folder: str, port: str, certificate: str, local: str) -> None:
    config = ServingConfig(
        name="bench",
        address="127.0.0.1",
        port=int(port),
        state_dir="",
        kafka=Kafka([]),
        registry=Registry(""),
        tls=Tls(certificate, certificate, certificate),
        drain_seconds=0.0,
    )
    store = FolderStore()
    parts = assemble(config, store, CollectorRegistry())
    watched = Folder(Path(folder), store, parts.replica, print)
    watched.begin()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parts, config, config.port, watched.follow, lambda port: None, Path(local)))
    watched.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
