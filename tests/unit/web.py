"""A web server on loopback with canned answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answers:
    """What the server answers by method and path, and what it was asked; 404 where nothing was set."""

    url: str
    requests: list[Request] = field(default_factory=list)
    _answers: dict[tuple[str, str], tuple[int, bytes]] = field(default_factory=dict)

    def set(self, method: str, path: str, content: bytes | object, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._answers[method, path] = (status, body)

    def remove(self, method: str, path: str) -> None:
        del self._answers[method, path]

    def to(self, request: Request) -> tuple[int, bytes]:
        self.requests.append(request)
        return self._answers.get((request.method, request.path), (404, b'{"error": "not found"}'))


@contextmanager
def serve() -> Iterator[Answers]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = answers.to(Request(self.command, self.path, dict(self.headers), body))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answers = Answers(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
