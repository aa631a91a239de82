"""Heads that were parsed before: a client sends the same bytes again and again, so their meaning is kept."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from millrace.serving.http.messages import Request

_MOST = 1024
_MOST_BYTES = 4096
# Bodies of other lengths, a question before the body, another trace each time.
_NOT_KEPT = (b"transfer-encoding", b"expect", b"traceparent")


class Shortcut(Protocol):
    """A shorter way than the handler's, for requests whose head came before."""

    def is_for(self, method: bytes, headers: Mapping[bytes, bytes]) -> bool:
        """Whether requests with such a head may take it."""

    def body(self, target: bytes, body: bytes) -> bytes | None:
        """The body of the answer, a 200 in JSON, to a body; None when the handler has to be asked."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """What a whole head said; `length` is that of the body. Nobody changes `headers`.

    `shortcut` is the listener's, where such requests may take it.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    length: int
    shortcut: Shortcut | None


class Heads:
    """Known heads by their bytes, up to and with the empty line."""

    def __init__(self, shortcut: Shortcut | None) -> None:
        self._shortcut = shortcut
        self._known: dict[bytes, Head] = {}
        self.get = self._known.get

    def remember(self, received: bytes, request: Request) -> None:
        """Keep the head of a request that came in one piece and alone, unless it will hardly come again."""
        method, headers, length = request.method, request.headers, len(request.body)
        cut = len(received) - length
        if received.find(b"\r\n\r\n") + 4 != cut or cut > _MOST_BYTES:
            return
        if any(name in headers for name in _NOT_KEPT):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        short = self._shortcut is not None and self._shortcut.is_for(method, headers)
        shortcut = self._shortcut if short else None
        self._known[received[:cut]] = Head(method, request.target, headers, length, shortcut)
