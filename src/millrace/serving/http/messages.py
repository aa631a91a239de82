"""A request as it was read, an answer as it is written."""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

JSON = b"application/json"
Headers = Sequence[tuple[bytes, bytes]]
_LINES = {s.value: b"HTTP/1.1 %d %s\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}
_encode = msgspec.json.Encoder().encode


class Request(msgspec.Struct, gc=False):
    """A whole request. `headers` are by lower-case name; of a repeated one the last counts."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes = b""
    # The common name in the client's certificate, empty where it has none.
    peer: str = ""
    # Whether the connection ends with the answer; whether the client speaks HTTP/1.0.
    close: bool = False
    old: bool = False
    # Bytes set aside for the body until the answer is written.
    reserved: int = 0
    # Seconds that the client gives it, None when it does not say.
    timeout: float | None = None
    # Whether the listener's shortcut had no answer to it.
    tried: bool = False
    # When its first byte came (`perf_counter`), where an access log wants to know.
    began: float = 0.0

    def header(self, name: bytes) -> str:
        """The value of a header (`name` in lower case), or an empty string."""
        return self.headers.get(name, b"").decode("latin-1")


class Response(msgspec.Struct, gc=False):
    """An answer. With `trailers` the body is sent in chunks, and they after it."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = ()
    trailers: Headers | None = None

    def render(self, date: bytes, request: Request, close: bool) -> bytes:
        """The bytes that answer `request`; `date` is a whole header line."""
        lines = [_LINES[self.status], date, b"content-type: ", self.content_type]
        lines += [part for name, value in self.headers for part in (b"\r\n", name, b": ", value)]
        if close:
            lines.append(b"\r\nconnection: close")
        elif request.old:
            lines.append(b"\r\nconnection: keep-alive")
        bare = request.method == b"HEAD"
        body = b"" if bare else self.body
        if self.trailers is None or request.old or bare:
            lines += [b"\r\ncontent-length: %d\r\n\r\n" % len(self.body), body]
            return b"".join(lines)
        lines.append(b"\r\ntransfer-encoding: chunked\r\n\r\n")
        if body:
            lines += [b"%x\r\n" % len(body), body, b"\r\n"]
        lines.append(b"0\r\n")
        lines += [part for name, value in self.trailers for part in (name, b": ", value, b"\r\n")]
        lines.append(b"\r\n")
        return b"".join(lines)


def error(status: int, text: str, *headers: tuple[bytes, bytes]) -> Response:
    """`{"error": text}`."""
    return Response(_encode({"error": text}), status, headers=headers)
