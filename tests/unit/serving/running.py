"""A prediction server in a thread of the test, on a port of its own; and a client that is only a socket."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvloop
from prometheus_client import CollectorRegistry

from millrace.serving.config import Kafka, Registry, ServingConfig
from millrace.serving.follower import Away
from millrace.serving.http import Limits, Listener
from millrace.serving.http.listener import Handler
from millrace.serving.policy import Policy
from millrace.serving.server import assemble
from millrace.serving.versions import ModelVersion
from tests.unit.serving.bundles import make_bundle, record_of
from tests.unit.serving.test_replica import MemoryStore

ROWS = [
    {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.5]},
    {"name": "kind", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
    {"name": "count", "datatype": "INT64", "shape": [2], "data": [7, 8]},
]
INFER = "/v2/models/tiny/infer"


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    def call(self, what: Callable[[], Any]) -> Any:
        """What a function gives on the loop."""

        async def go() -> Any:
            return what()

        return self.do(go())

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Client:
    """A socket that says what it is told to say."""

    def __init__(self, place: int | Path) -> None:
        """`place` is a port of loopback, or a Unix socket."""
        if isinstance(place, Path):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(10)
            self.socket.connect(str(place))
        else:
            self.socket = socket.create_connection(("127.0.0.1", place), timeout=10)

    def send(self, text: bytes) -> None:
        self.socket.sendall(text)

    def receive(self, until: bytes) -> bytes:
        """All that comes, up to and with `until`, or to the end of the connection."""
        got = b""
        while until not in got:
            part = self.socket.recv(65536)
            if not part:
                break
            got += part
        return got

    def answer(self) -> tuple[int, bytes]:
        """Status and body of an answer that says its length."""
        head, _, body = self.receive(b"\r\n\r\n").partition(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < size:
            body += self.socket.recv(65536)
        return int(head.split()[1]), body

    def rest(self) -> bytes:
        """All that comes until the connection ends."""
        return self.receive(b"\0never\0")

    def close(self) -> None:
        self.socket.close()


@contextlib.contextmanager
def listening(handle: Handler, **limits: Any) -> Iterator[tuple[Listener, int, Loop]]:
    """A listener with this handler; gives it, its port and its loop."""
    loop = Loop()
    listener = Listener(handle, Limits(**limits))
    port = loop.do(listener.start("127.0.0.1", 0))
    try:
        yield listener, port, loop
    finally:
        loop.do(listener.close(0))
        loop.end()


class Running:
    """A server with one model, `tiny`, version 1; version 2 is at hand."""

    def __init__(self, folder: Path, policy: Policy | None = None, **changes: Any) -> None:
        self.bundle = make_bundle(folder / "one")
        self.two = make_bundle(folder / "two", 3.0)
        self.store = MemoryStore({b.digest: b for b in (self.bundle, self.two)})
        config = ServingConfig(
            name="node1", address="127.0.0.1", port=8501, state_dir=str(folder), kafka=Kafka([]),
            registry=Registry(""), control_hosts=["edge1"], **changes,
        )  # fmt: skip
        self.away = ""
        self.registry = CollectorRegistry()
        parts = assemble(config, self.store, self.registry, self._refresh)
        self.app, self.replica, self.listener = parts.app, parts.replica, parts.listener
        self.replica.reset({"tiny": record_of(self.bundle, policy=policy)})
        self.loop = Loop()
        self.port = self.loop.do(self.listener.start("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.port}"
        self._client = httpx.Client(base_url=self.url, trust_env=False, timeout=20)

    def _refresh(self, timeout: float) -> None:
        if self.away:
            raise Away(self.away)

    def live(self, model: str = "tiny") -> ModelVersion:
        served = self.app.served(model)
        assert served
        return served.version

    def end(self) -> None:
        self._client.close()
        self.loop.do(self.listener.close(0))
        self.loop.end()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._client.request(method, path, **options)

    def run(self, talk: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
        async def go() -> Any:
            async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=20) as client:
                return await talk(client)

        return asyncio.run(go())
