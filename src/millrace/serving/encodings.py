"""Content-Encoding: gzip and deflate, both ways. Never more bytes come out than a body may have."""

import zlib

from millrace.serving.errors import Unanswered
from millrace.serving.http import Request, Response

# zlib's window bits: 31 reads and writes gzip, 15 what HTTP calls deflate.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
# Smaller answers are sent as they are.
WORTH = 4096
_LEVEL = 1


def decompress(data: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before; raises `Unanswered`: 415 unknown, 413 too large, 400 damaged."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return data
    window = _WINDOWS.get(encoding)
    if window is None:
        raise Unanswered(
            415, f"the body is encoded as {encoding[:40]}, this server reads gzip, deflate and identity"
        )
    parts, size, rest = [], 0, data
    try:
        # A gzip body may have several members, one after the other.
        while rest:
            expander = zlib.decompressobj(window)
            part = expander.decompress(rest, limit + 1 - size)
            size += len(part)
            parts.append(part)
            if size > limit or expander.unconsumed_tail:
                raise Unanswered(413, f"the body is larger than {limit} bytes once it is unpacked")
            if not expander.eof:
                raise Unanswered(400, f"the body ends before its {encoding} stream does")
            rest = expander.unused_data if window == _WINDOWS["gzip"] else b""
    except zlib.error as error:
        raise Unanswered(400, f"the body is not {encoding}: {error}") from None
    return b"".join(parts)


def unpack(request: Request, limit: int) -> bytes:
    """The body of a request without its Content-Encoding; raises `Unanswered`."""
    encoding = request.headers.get(b"content-encoding")
    return request.body if encoding is None else decompress(request.body, encoding.decode("latin-1"), limit)


def pack(request: Request, response: Response) -> Response:
    """The answer in an encoding that the client accepts, where that saves something."""
    accepted = request.headers.get(b"accept-encoding")
    if accepted is None or len(response.body) < WORTH or response.trailers is not None:
        return response
    name = _preferred(accepted.decode("latin-1").lower())
    if name is None:
        return response
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOWS[name])
    body = packer.compress(response.body) + packer.flush()
    headers = [*response.headers, (b"content-encoding", name.encode()), (b"vary", b"accept-encoding")]
    return Response(body, response.status, response.content_type, headers)


def _preferred(accepted: str) -> str | None:
    for choice in accepted.split(","):
        name, _, weight = choice.partition(";")
        if name.strip() in ("gzip", "deflate") and weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.000"):
            return name.strip()
    return None
