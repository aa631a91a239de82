"""A rate that is held: requests leave when they are due, whether or not earlier ones were answered.

What a request waits is counted from when it was due: a server that stalls cannot hide it by being asked less.
The client's own timer, which is a millisecond coarse, counts as waiting, too.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from urllib.parse import urlsplit

import uvloop

from tests.bench.serving.load import CONNECTIONS, Ask


class _Client(asyncio.Protocol):
    """One connection with one request under way."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._read = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._run.idle.append(self)

    def send(self, due: float) -> None:
        self.due = due
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._read = b""
        self._run.answered(self, head.startswith(b"HTTP/1.1 200 "))

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost += 1


class _Run:
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.idle: deque[_Client] = deque()
        self.late: deque[float] = deque()
        self.waits: list[float] = []
        self.failed = self.lost = 0

    def ask(self, due: float) -> None:
        if self.idle:
            self.idle.popleft().send(due)
        else:
            self.late.append(due)

    def answered(self, client: _Client, good: bool) -> None:
        self.waits.append(time.perf_counter() - client.due)
        self.failed += not good
        if self.late:
            client.send(self.late.popleft())
        else:
            self.idle.append(client)


def hold(url: str, ask: Ask, rate: int, seconds: float) -> tuple[list[float], int]:
    """Ask `rate` times a second: what each answered request waited, in seconds, and how many got no 200."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_hold(url, ask, rate, seconds))


async def _hold(url: str, ask: Ask, rate: int, seconds: float) -> tuple[list[float], int]:
    where = urlsplit(url)
    lines = [f"POST {ask.path} HTTP/1.1", f"Host: {where.netloc}", f"Content-Length: {len(ask.body)}"]
    lines += [f"{name}: {value}" for name, value in ask.headers.items()]
    run = _Run("\r\n".join([*lines, "", ""]).encode() + ask.body)
    context: ssl.SSLContext | None = None
    if where.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: _Client(run), where.hostname, where.port, ssl=context))[0]
        for _ in range(CONNECTIONS)
    ]
    total, begun = int(rate * seconds), time.perf_counter() + 0.1
    for number in range(total):
        due = begun + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        run.ask(due)
    end = time.perf_counter() + 5
    while len(run.waits) < total and not run.lost and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    for transport in opened:
        transport.abort()
    return run.waits, run.failed + total - len(run.waits)
