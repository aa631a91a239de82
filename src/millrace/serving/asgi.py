"""The little ASGI that the site's own services share: bodies, answers, and who is at the other end."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
# Of a body that is too large so much is read and thrown away, for a sender hears nothing before it has sent.
DISCARDED_BYTES = 64 * 1024 * 1024


class PeerProtocol(HttpToolsProtocol):
    """Tells the application the common name in the client's certificate: `scope["state"]["peer"]`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        certificate = transport.get_extra_info("peercert") or {}
        names = [
            value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"
        ]
        self.app_state = {**self.app_state, "peer": names[0] if names else ""}


class TooLarge(Exception):
    """A body that is larger than the limit."""


async def read_body(receive: Receive, limit: int, first: MutableMapping[str, Any] | None = None) -> bytes:
    """The whole body, of which `first` may have come already.

    Raises `TooLarge` (after the body was read and thrown away) or `ConnectionError` (the client is gone).
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = first or await receive()
        first = None
        if message["type"] == "http.disconnect":
            raise ConnectionError
        size += len(message.get("body", b""))
        if size <= limit:
            parts.append(message.get("body", b""))
        elif size > limit + DISCARDED_BYTES:
            break
        else:
            parts.clear()
        if not message.get("more_body"):
            break
    if size > limit:
        raise TooLarge
    return b"".join(parts)


async def answer(
    send: Send, status: int, body: bytes, content_type: bytes = JSON, *more: tuple[bytes, bytes]
) -> None:
    """One whole answer."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def header(scope: Scope, name: bytes) -> str:
    """The value of a header (`name` in lower case), or an empty string."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
