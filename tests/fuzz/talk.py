"""A client that speaks HTTP badly on purpose, and what the server answered."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.fuzz.valid import Asked

#: Seconds that an answer may take.
PATIENCE = 20


@dataclass
class Answered:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    trailers: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """gRPC's words for what is wrong."""
        return unquote(self.trailers.get(b"grpc-message", b"").decode())


class Client:
    """One connection at a time, kept as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._got = b""

    def ask(self, asked: Asked, chance: random.Random) -> Answered | None:
        """The answer, None when the server only hung up. Raises TimeoutError, ConnectionRefusedError."""
        fresh = self._socket is None
        try:
            return self._exchange(asked, chance)
        except (ConnectionResetError, BrokenPipeError):
            self.close()
            # A kept connection may end at any time.
            return None if fresh else self.ask(asked, chance)

    def send_part(self, asked: Asked, size: int, *, half: bool) -> bytes:
        """Send the first `size` bytes and no more; what comes back once our half is closed (`half`)."""
        self.close()
        connection = self._connect()
        connection.sendall(b"".join(plain(asked))[:size])
        if not half:
            return b""
        try:
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except (ConnectionResetError, OSError):
            return b""
        finally:
            self.close()

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket, self._got = None, b""

    def _connect(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _exchange(self, asked: Asked, chance: random.Random) -> Answered | None:
        connection = self._connect()
        shape = chance.randrange(12)
        parts = chunked(asked, chance) if shape == 0 else plain(asked)
        if shape == 1:
            parts = slowly(b"".join(parts), chance)
        try:
            for part in parts:
                connection.sendall(part)
        except (ConnectionResetError, BrokenPipeError):
            # It has refused already, and may have said why.
            pass
        return self._read(asked)

    def _read(self, asked: Asked) -> Answered | None:
        head = self._until(b"\r\n\r\n")
        if head is None:
            self.close()
            return None
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:] if line)
        answered = Answered(int(lines[0].split(b" ")[1]), headers, b"")
        if asked.method != b"HEAD":
            if headers.get(b"transfer-encoding") == b"chunked":
                self._read_chunks(answered)
            else:
                answered.body = self._take(int(headers[b"content-length"]))
        if headers.get(b"connection") == b"close":
            self.close()
        return answered

    def _read_chunks(self, answered: Answered) -> None:
        while size := int(self._until(b"\r\n") or b"0", 16):
            answered.body += self._take(size)
            self._take(2)
        while line := (self._until(b"\r\n") or b"").strip():
            name, _, value = line.partition(b": ")
            answered.trailers[name] = value

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._got:
            if not self._receive():
                return None
        found, _, self._got = self._got.partition(mark)
        return found

    def _take(self, size: int) -> bytes:
        while len(self._got) < size:
            if not self._receive():
                raise ConnectionResetError("the answer breaks off")
        found, self._got = self._got[:size], self._got[size:]
        return found

    def _receive(self) -> bool:
        assert self._socket
        part = self._socket.recv(1 << 20)
        self._got += part
        return bool(part)


def head(asked: Asked, *more: tuple[bytes, bytes]) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (asked.method, asked.target)]
    lines += [b"%b: %b" % each for each in ((b"Host", b"site"), *asked.headers, *more)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def plain(asked: Asked) -> list[bytes]:
    return [head(asked, (b"Content-Length", b"%d" % len(asked.body))), asked.body]


def chunked(asked: Asked, chance: random.Random) -> list[bytes]:
    parts, body = [head(asked, (b"Transfer-Encoding", b"chunked"))], asked.body
    while body:
        size = chance.choice([1, 7, 4096, 100_000])
        parts.append(b"%x;a=b\r\n%b\r\n" % (len(body[:size]), body[:size]))
        body = body[size:]
        if len(parts) > 200:
            parts.append(b"%x\r\n%b\r\n" % (len(body), body) if body else b"")
            break
    return [*parts, b"0\r\nX-Trailer: 1\r\n\r\n"]


def slowly(text: bytes, chance: random.Random) -> Iterator[bytes]:
    cuts = sorted(chance.randrange(len(text) + 1) for _ in range(3))
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        yield text[begin:end]
        time.sleep(0.001)
