"""Runs on an edge host: asks a copy of its gateway, whose servers answer with the headers that reached them.

Asked {"user", "password", "requests": {name: [path, headers, login]}}, it prints {name: headers}.
Asked {"pieces": [path, body], "times"}, it sends the head of a request and then the body, so many times,
while one server of two ends each connection when it has the request; it prints {"statuses", "ended"}.
"""

import base64
import http.client
import http.server
import json
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

CONFIGURATION = Path("/etc/haproxy/haproxy.cfg")


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers of the request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None: ...


class Ending(socketserver.BaseRequestHandler):
    """Reads a request to its end and says nothing."""

    ended = 0

    def handle(self) -> None:
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"]}"):
            part = self.request.recv(65536)
            if not part:
                return
            received += part
        Ending.ended += 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rewritten(text: str, front: int, echo: int, ending: int | None = None) -> str:
    """The gateway's configuration on loopback, in plain text, with the echo as every server.

    With `ending` the prediction servers are two, and the first is that.
    """
    text = re.sub(
        r"^ *(stats socket|server-state-file|load-server-state-from-file) .*\n", "", text, flags=re.M
    )
    text = re.sub(r"^( *bind) \S+:443 .*$", rf"\1 127.0.0.1:{front}", text, flags=re.M)
    text = re.sub(r"^( *bind) (?!127\.0\.0\.1:).*$", rf"\1 127.0.0.1:{free_port()}", text, flags=re.M)

    def server(line: re.Match[str]) -> str:
        first = line[2] in ("local1", "prediction") and ending
        return "".join(
            f"{line[1]}server {name} 127.0.0.1:{port} no-check\n"
            for name, port in [("ending", ending), (line[2], echo)][0 if first else 1 :]
        )

    return re.sub(r"^( *)(?:server-template|server) (\S+) .*\n", server, text, flags=re.M)


def ask(port: int, path: str, headers: dict[str, str]) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    return json.loads(body) if answer.status == 200 else {"status": str(answer.status)}


def status_of_pieces(port: int, path: str, body: str) -> int:
    """What is answered when the body comes after the head."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    time.sleep(0.05)
    try:
        connection.send(body.encode())
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def asked(given: dict[str, Any], front: int) -> dict[str, Any]:
    """What is to be printed."""
    if "pieces" in given:
        statuses = [status_of_pieces(front, *given["pieces"]) for _ in range(given["times"])]
        return {"statuses": sorted(set(statuses)), "ended": Ending.ended}
    pair = base64.b64encode(f"{given['user']}:{given['password']}".encode()).decode()
    login = {"Authorization": f"Basic {pair}"}
    return {
        name: ask(front, path, headers | (login if with_login else {}))
        for name, (path, headers, with_login) in given["requests"].items()
    }


def main() -> None:
    given = json.loads(sys.argv[1])
    echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    ending = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Ending)
    for server in (echo, ending):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    front = free_port()
    with tempfile.NamedTemporaryFile("w") as copy:
        text = CONFIGURATION.read_text()
        other = ending.server_address[1] if "pieces" in given else None
        copy.write(rewritten(text, front, echo.server_port, other))
        copy.flush()
        gateway = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-q", "-f", copy.name], stdout=sys.stderr)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if gateway.poll() is not None or probe.connect_ex(("127.0.0.1", front)) == 0:
                        break
                time.sleep(0.1)
            told = asked(given, front)
        finally:
            gateway.terminate()
            gateway.wait()
    print(json.dumps(told))


main()
