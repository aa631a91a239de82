"""The little ASGI that other services of the site share: uvicorn, bodies, answers, and who is calling."""

import asyncio
import signal
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from millrace.serving.config import Tls

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
# Longer than the gateway keeps an idle connection, so that it is never closed under a request.
_KEEP_ALIVE_S = 120
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


class Server(uvicorn.Server):
    """uvicorn that says when it listens, and goes on for a while when it is asked to end."""

    def __init__(
        self, config: uvicorn.Config, drain: Callable[[], float], listening: Callable[[], None]
    ) -> None:
        """`drain` is called on SIGTERM and returns the seconds to go on serving."""
        super().__init__(config)
        self._listening = listening
        self._drain = drain
        self._ending = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._ending or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        self._ending = True
        timer = threading.Timer(self._drain(), super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


def uvicorn_config(
    app: object, address: str, port: int, tls: Tls | None, finish_seconds: float
) -> uvicorn.Config:
    """How the site's own services are run: one process, TLS with a client certificate demanded.

    Requests that run when it ends get `finish_seconds`.
    """
    secure = {}
    if tls:
        secure = {
            "ssl_certfile": tls.certificate,
            "ssl_keyfile": tls.key,
            "ssl_ca_certs": tls.ca,
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
        }
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=address,
        port=port,
        loop="uvloop",
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(finish_seconds),
        **secure,  # type: ignore[arg-type]
    )
    config.load()
    return config
