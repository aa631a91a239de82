"""Heads that were parsed before: a client sends the same bytes again and again, so their meaning is kept."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

_MOST = 1024
_MOST_BYTES = 4096


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

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self.get = self._known.get

    def remember(self, text: bytes, head: Head) -> None:
        """Keep what the parser made of `text`, unless it will hardly come again."""
        if len(text) > _MOST_BYTES or b"traceparent" in head.headers:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[text] = head
