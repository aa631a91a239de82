"""Heads that were parsed before: a client sends the same bytes again and again, so their meaning is kept."""

import msgspec

_MOST = 1024
_MOST_BYTES = 4096


class Head(msgspec.Struct, frozen=True, gc=False):
    """What a whole head said; `length` is that of the body. Nobody changes `headers`.

    `short`: such requests may take the listener's shortcut.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    length: int
    short: bool


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
