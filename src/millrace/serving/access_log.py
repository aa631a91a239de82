"""One line of JSON for each request, for who wants it."""

import time
from datetime import UTC, datetime
from typing import Protocol

from millrace.serving.errors import brief
from millrace.serving.http import Request, Response
from millrace.serving.trace import trace_id
from millrace.serving.v2 import encode


class Sink(Protocol):
    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class AccessLog:
    """Writes to `sink`, at once."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, request: Request, response: Response) -> None:
        """Tell of an answer; times in seconds, sizes in bytes."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": request.header(b"x-forwarded-for") or request.peer,
            "method": request.method.decode("latin-1"),
            "path": brief(request.target.decode("latin-1"), 300),
            "status": response.status,
            "received": len(request.body),
            "sent": len(response.body),
            "seconds": round(time.perf_counter() - request.began, 6),
        }
        if trace := trace_id(request):
            line["trace"] = trace
        for name, value in response.headers:
            if name == b"millrace-fallback":
                line["fallback"] = value.decode()
        self._sink.write(encode(line).decode() + "\n")
        self._sink.flush()
