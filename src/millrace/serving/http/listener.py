"""Where connections come in: the port, what all of them share, and their end."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path

from millrace.serving.http.connection import Connection
from millrace.serving.http.heads import Heads, Shortcut
from millrace.serving.http.limits import Limits
from millrace.serving.http.messages import JSON, Request, Response, error

_LOOK_S = 1.0
_BACKLOG = 2048
Handler = Callable[[Request], Response | Awaitable[Response]]


class Listener:
    """Answers requests with `handle`, which gives a response, or something to wait for that gives one.

    `handle` runs on the event loop, one call after the other; what takes longer is waited for.
    """

    def __init__(
        self,
        handle: Handler,
        limits: Limits,
        refused: Callable[[str], None] | None = None,
        shortcut: Shortcut | None = None,
    ) -> None:
        """`refused` is told why a body was not taken: `too_large` or `too_many`."""
        self.handle = handle
        self.limits = limits
        self.connections: set[Connection] = set()
        self.heads = Heads(shortcut)
        # Bytes set aside for large bodies.
        self.pending = 0
        # Called with each answer when it is set, for an access log.
        self.answered: Callable[[Request, Response], None] | None = None
        self._refused = refused
        self._servers: list[asyncio.Server] = []
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, address: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Listen, and return the port (the system's choice when `port` is 0). Raises OSError."""
        self.loop = asyncio.get_running_loop()
        self._tell_time()
        server = await self.loop.create_server(
            lambda: Connection(self),
            address,
            port,
            backlog=_BACKLOG,
            ssl=context,
            ssl_handshake_timeout=self.limits.head_seconds if context else None,
        )
        self._servers.append(server)
        self._keeper = asyncio.create_task(self._keep())
        return int(server.sockets[0].getsockname()[1])

    async def start_local(self, path: Path) -> None:
        """Listen at a Unix socket as well, for owner and group of the file alone. Raises OSError.

        A socket that an earlier process left there is replaced.
        """
        try:
            server = await self.loop.create_unix_server(lambda: Connection(self), str(path), backlog=_BACKLOG)
            path.chmod(0o660)
        except OSError as error:
            text = f"{path} cannot be listened at: may this user write into an existing folder {path.parent}?"
            raise OSError(error.errno, f"{text} ({error.strerror or error})") from error
        self._servers.append(server)

    async def close(self, seconds: float) -> None:
        """Take no new connections, give requests that run so many seconds, then end all."""
        if not self._keeper:
            return
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.end()
        end = self.loop.time() + seconds
        while self.connections and self.loop.time() < end:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        self._keeper.cancel()

    def too_large(self) -> Response:
        """The answer to a body beyond the limit."""
        self._tell("too_large")
        return error(413, f"the body is larger than {self.limits.body} bytes, send fewer rows at once")

    def too_many(self) -> Response:
        """The answer to a large body while memory is taken by others."""
        self._tell("too_many")
        return error(503, "too many large requests at once, try again", (b"retry-after", b"1"))

    def _tell(self, reason: str) -> None:
        if self._refused:
            self._refused(reason)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._tell_time()
            now = self.loop.time()
            for connection in [each for each in self.connections if each.due < now]:
                connection.expire(now)

    def _tell_time(self) -> None:
        self.date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
        # The head of nearly every answer, up to the length of its body.
        self.head = b"HTTP/1.1 200 OK\r\n" + self.date + b"content-type: " + JSON + b"\r\ncontent-length: "
        # When the time is over of a client that does nothing from now on, till the next look at least.
        self.idle = self.loop.time() + self.limits.idle_seconds + _LOOK_S
