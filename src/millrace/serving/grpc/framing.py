"""What gRPC puts around a message: five bytes before it, a time-out, a status after it."""

import re
import struct
from typing import Any
from urllib.parse import quote

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from millrace.serving.encodings import decompress
from millrace.serving.errors import BadRequest, Unanswered
from millrace.serving.http import Request, Response

CONTENT_TYPE = b"application/grpc"
# gRPC's codes for HTTP's.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 9, 413: 8, 415: 12, 503: 14, 504: 4}
_INTERNAL = 13
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
_FINE = ((b"grpc-status", b"0"),)


def unframe(request: Request, kind: Any, limit: int) -> Any:
    """The only message of a request, of class `kind`; raises `Unanswered`."""
    if not request.headers.get(b"content-type", b"").startswith(CONTENT_TYPE):
        raise Unanswered(415, "the content-type is not application/grpc")
    body = request.body
    if len(body) < 5 or struct.unpack_from(">I", body, 1)[0] != len(body) - 5 or body[0] > 1:
        raise BadRequest("the request is not one whole message, each call here takes one")
    content = body[5:]
    if body[0]:
        content = decompress(content, request.header(b"grpc-encoding") or "gzip", limit)
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise BadRequest(f"the message cannot be read: {error}") from None


def timeout(request: Request) -> float | None:
    """Seconds that the client gives the call, None when it does not say."""
    found = _TIMEOUT.fullmatch(request.header(b"grpc-timeout"))
    return int(found[1]) * _UNITS[found[2]] if found else None


def answer(message: Any, *headers: tuple[bytes, bytes]) -> Response:
    """A message as a good answer."""
    content = message.SerializeToString()
    body = b"".join((b"\0", struct.pack(">I", len(content)), content))
    return Response(body, content_type=CONTENT_TYPE, headers=headers, trailers=_FINE)


def refuse(wrong: Unanswered) -> Response:
    """No message, but a status that says why."""
    return refusal(wrong.status, str(wrong))


def refusal(status: int, text: str) -> Response:
    """No message, but gRPC's status for one of HTTP."""
    code = _CODES.get(status, _INTERNAL)
    # As gRPC has it: printable ASCII stays, all else is percent-encoded.
    words = quote(text[:1000], safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    trailers = [(b"grpc-status", b"%d" % code), (b"grpc-message", words.encode())]
    return Response(b"", content_type=CONTENT_TYPE, trailers=trailers)
