"""W3C trace context: who asks gets it back with a span of this server's own, and the access log has it."""

import re
import secrets
from collections.abc import Awaitable

from millrace.serving.http import Request, Response

_FORM = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")


def trace_id(request: Request) -> str:
    """The id of the trace that a request belongs to, empty where it says none."""
    found = _FORM.fullmatch(request.headers.get(b"traceparent", b""))
    return found[1].decode() if found else ""


def passed_on(request: Request, answer: Response | Awaitable[Response]) -> Response | Awaitable[Response]:
    """`answer` with the trace context of its request."""
    found = _FORM.fullmatch(request.headers[b"traceparent"])
    if found is None:
        return answer
    value = b"00-%b-%b-%b" % (found[1], secrets.token_hex(8).encode(), found[2])
    if isinstance(answer, Response):
        return _with(answer, value)

    async def later() -> Response:
        return _with(await answer, value)

    return later()


def _with(response: Response, value: bytes) -> Response:
    response.headers = [*response.headers, (b"traceparent", value)]
    return response
