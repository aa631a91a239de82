"""One connection: requests in the order they came, answers in the same."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import httptools

from millrace.serving.http.heads import Head
from millrace.serving.http.messages import JSON, Request, Response, error

if TYPE_CHECKING:
    from millrace.serving.http.listener import Listener

log = logging.getLogger("millrace.serving")


class _Stop(Exception):
    """Makes the parser stop: nothing that follows is read."""


class Connection(asyncio.Protocol):
    """What httptools calls back (`on_...`) and what the event loop calls (the rest) for one client."""

    __slots__ = (
        "_awaits_continue", "_begun", "_blocked", "_body", "_burst", "_deaf", "_discarded", "_fed", "_head",
        "_headers", "_in_body", "_last", "_limits", "_listener", "_loop", "_parser", "_paused", "_peer",
        "_reserved", "_scheduled", "_secure", "_since", "_size", "_target", "_task", "_timed",
        "_transport", "_waiting", "due",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._limits = listener.limits
        self._loop = listener.loop
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request | Response] = deque()
        self._task: asyncio.Task[None] | None = None
        # When this client's time is over, in the loop's time.
        self.due = math.inf
        self._peer = ""
        # No more of what comes is a request; no request comes after those that wait.
        self._deaf = self._last = False
        # The answers are not read; reading is paused; `_go_on` is to be called.
        self._blocked = self._paused = self._scheduled = False
        self._burst = self._head = self._discarded = 0
        # What came last, when it began with a request.
        self._fed = b""
        self._begin()

    def _begin(self) -> None:
        self._begun = self._in_body = self._timed = self._awaits_continue = False
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._size = self._reserved = 0
        self._since = 0.0

    # The event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._secure = transport.get_extra_info("sslcontext") is not None
        certificate = transport.get_extra_info("peercert") or {}
        for part in certificate.get("subject", ()):
            for name, value in part:
                if name == "commonName":
                    self._peer = value
        self.due = self._loop.time() + self._limits.head_seconds
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        if self._task:
            self._task.cancel()
        self._listener.pending -= self._reserved
        for item in self._waiting:
            if isinstance(item, Request):
                self._listener.pending -= item.reserved
        self._waiting.clear()
        self._deaf = True
        self._reserved = 0

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._discard(len(data))
            return
        self._burst = 0
        self._fed = b""
        if not (self._begun or self._task or self._waiting or self._blocked):
            cut = data.find(b"\r\n\r\n") + 4
            text = data[:cut]
            head = self._listener.heads.get(text)
            if head is not None and len(data) == cut + head.length:
                self._answer_known(head, data[cut:])
                return
            self._fed = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as wrong:
            if not self._deaf:
                self._refuse(error(400, f"the request is not valid HTTP: {str(wrong).lower()}"))
            return
        if not self._begun:
            return
        if self._in_body:
            if not self._timed:
                self._timed = True
                self.due = self._loop.time() + self._limits.body_seconds
        else:
            self._head += len(data)
            if self._head > self._limits.head:
                self._refuse(error(431, f"the head of the request is larger than {self._limits.head} bytes"))

    def eof_received(self) -> bool:
        self._deaf = self._last = True
        # Over TLS a connection is always closed as a whole.
        return bool(self._task or self._waiting) and not self._secure

    def pause_writing(self) -> None:
        self._blocked = True
        self.due = self._loop.time() + self._limits.write_seconds
        self._pause(True)

    def resume_writing(self) -> None:
        self._blocked = False
        self.due = self._loop.time() + self._limits.idle_seconds
        self._go_on()

    def expire(self, now: float) -> None:
        """The client's time is over: it is told, or left."""
        if self._blocked:
            self._transport.abort()
        elif self._task or self._waiting:
            self.due = now + self._limits.idle_seconds
        elif self._deaf:
            self._transport.abort()
        elif self._begun:
            part = "body" if self._in_body else "head"
            self._refuse(error(408, f"the {part} of the request did not come in time, send it faster"))
        else:
            self._transport.close()

    def end(self) -> None:
        """No request after those that have come."""
        self._last = True
        if not (self._task or self._waiting or self._blocked or self._begun):
            self._transport.close()

    def abort(self) -> None:
        """End at once, whatever is under way."""
        self._transport.abort()

    # The parser

    def on_message_begin(self) -> None:
        if self._deaf:
            raise _Stop
        self._begun = True
        self._head = 0
        if self._listener.answered:
            self._since = time.perf_counter()
        if not (self._task or self._waiting or self._blocked):
            self.due = self._loop.time() + self._limits.head_seconds

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are not headers: who adds some could add what a gateway would have taken away.
        if not self._in_body:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._in_body = True
        headers = self._headers
        if b"host" not in headers and self._parser.get_http_version() == "1.1":
            self._refuse_and_stop(error(400, "the request has no Host header"))
        length = headers.get(b"content-length")
        if (length and len(length) > 4) or b"expect" in headers:
            self._expect_body(int(length or b"0"))

    def on_body(self, data: bytes) -> None:
        if not self._size:
            self._body = data
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            self._body = bytearray(self._body + data)
        self._size += len(data)
        if self._size > self._limits.small and not self._reserved:
            self._admit(self._limits.body)
        if self._size > self._limits.body:
            self._refuse_and_stop(self._listener.too_large())

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser.should_upgrade():
            return
        request = Request(parser.get_method(), self._target, self._headers, bytes(self._body), self._peer)
        request.reserved = self._reserved
        request.began = self._since
        request.old = parser.get_http_version() == "1.0"
        if not parser.should_keep_alive():
            request.close = self._deaf = True
        elif self._fed and not (request.old or request.reserved):
            self._listener.heads.remember(self._fed, request)
        self._begin()
        if self._task or self._waiting or self._blocked or self._burst >= self._limits.burst:
            self._wait(request)
        else:
            self._burst += 1
            self._answer(request)

    def _stay(self, rest: bytes) -> None:
        """The client would like to speak something else; nobody does here, so that wish is left out."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._refuse(error(405, "CONNECT is not answered here"))
            return
        headers, target = self._headers, self._target
        lines = [b"%b %b HTTP/1.1\r\n" % (method, target)]
        for name, value in headers.items():
            if name not in (b"connection", b"upgrade"):
                lines.append(b"%b: %b\r\n" % (name, value))
        self._listener.pending -= self._reserved
        self._begin()
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join([*lines, b"\r\n", rest]))

    # Bodies

    def _expect_body(self, length: int) -> None:
        """Look at a body before it comes: it may be too large, or its sender may ask whether to send it."""
        if length > self._limits.body:
            self._refuse_and_stop(self._listener.too_large())
        if length > self._limits.small:
            self._admit(length)
        expected = self._headers.get(b"expect")
        if expected is None:
            return
        if expected.lower() != b"100-continue":
            self._refuse_and_stop(error(417, f"'{expected.decode('latin-1')}' is not known here"))
        self._awaits_continue = True
        self._continue()

    def _continue(self) -> None:
        # Not before the answers to what came earlier.
        if self._awaits_continue and not self._task and not self._waiting:
            self._awaits_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _admit(self, size: int) -> None:
        """Set memory aside for a large body: many at once would end the process."""
        if self._listener.pending + size > self._limits.pending:
            self._refuse_and_stop(self._listener.too_many())
        self._listener.pending += size
        self._reserved = size

    # Answers

    def _refuse_and_stop(self, response: Response) -> None:
        self._refuse(response)
        raise _Stop

    def _refuse(self, response: Response) -> None:
        """Answer what cannot be read to its end, after all that came before; then the connection ends."""
        self._deaf = True
        self._listener.pending -= self._reserved
        self._begin()
        self._waiting.append(response)
        if not self._blocked:
            self._go_on()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self._limits.discard:
            self._transport.abort()

    def _wait(self, request: Request) -> None:
        self._waiting.append(request)
        if len(self._waiting) >= self._limits.pipelined:
            self._pause(True)
        if not (self._task or self._blocked or self._scheduled):
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Answer what waits, as far as it goes."""
        self._scheduled = False
        self._burst = 0
        while self._waiting and not (self._task or self._blocked):
            if self._burst >= self._limits.burst:
                self._scheduled = True
                self._loop.call_soon(self._go_on)
                return
            self._burst += 1
            item = self._waiting.popleft()
            if isinstance(item, Request):
                self._answer(item)
            else:
                self._end_with(item)
        if self._awaits_continue:
            self._continue()
        if not self._waiting and not self._blocked:
            self._pause(False)

    def _end_with(self, response: Response) -> None:
        # Closed at once, the client would lose the answer to what it still sends.
        request = Request(b"", b"", {})
        self._transport.write(response.render(self._listener.date, request, True))
        self.due = self._loop.time() + self._limits.discard_seconds
        if self._last and not self._secure:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def _answer_known(self, head: Head, body: bytes) -> None:
        listener = self._listener
        shortcut = None if self._last or listener.answered else head.shortcut
        if shortcut is not None:
            content = shortcut.body(head.target, body)
            if content is not None:
                self._transport.write(b"".join((listener.head, b"%d\r\n\r\n" % len(content), content)))
                if not self._blocked:
                    self.due = listener.idle
                return
        tried = shortcut is not None
        request = Request(head.method, head.target, head.headers, body, self._peer, tried=tried)
        if listener.answered:
            request.began = time.perf_counter()
        self._answer(request)

    def _answer(self, request: Request) -> None:
        try:
            answer = self._listener.handle(request)
        except Exception:
            answer = _failed(request)
        if type(answer) is Response:
            self._write(request, answer)
        else:
            assert not isinstance(answer, Response)
            self._task = self._loop.create_task(self._finish(request, answer))

    async def _finish(self, request: Request, answer: Awaitable[Response]) -> None:
        try:
            response = await answer
        except Exception:
            response = _failed(request)
        self._task = None
        self._write(request, response)
        self._go_on()

    def _write(self, request: Request, response: Response) -> None:
        listener, transport = self._listener, self._transport
        if request.reserved:
            listener.pending -= request.reserved
        if listener.answered:
            listener.answered(request, response)
        if transport.is_closing():
            return
        close = request.close or (self._last and not self._waiting)
        body = response.body
        if (
            response.status == 200
            and response.content_type is JSON
            and not (response.headers or response.trailers or close or request.old)
            and request.method != b"HEAD"
        ):
            transport.write(b"".join((listener.head, b"%d\r\n\r\n" % len(body), body)))
        else:
            transport.write(response.render(listener.date, request, close))
        if close:
            self._deaf = True
            transport.close()
        elif not (self._begun or self._blocked):
            self.due = listener.idle

    def _pause(self, wanted: bool) -> None:
        if wanted == self._paused or self._transport.is_closing():
            return
        self._paused = wanted
        if wanted:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _failed(request: Request) -> Response:
    log.exception("%s %s", request.method.decode(), request.target.decode("latin-1"))
    return error(500, "internal error, see the server's journal")
