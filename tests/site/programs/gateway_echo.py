"""Runs on an edge host: asks a copy of its gateway, whose servers answer with the headers that reached them.

Asked {"user", "password", "requests": {name: [path, headers, login]}}, it prints {name: headers}.
"""

import base64
import http.client
import http.server
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CONFIGURATION = Path("/etc/haproxy/haproxy.cfg")


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers of the request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None: ...


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rewritten(text: str, front: int, echo: int) -> str:
    """The gateway's configuration on loopback, in plain text, with the echo as every server."""
    text = re.sub(
        r"^ *(stats socket|server-state-file|load-server-state-from-file) .*\n", "", text, flags=re.M
    )
    text = re.sub(r"^( *bind) \S+:443 .*$", rf"\1 127.0.0.1:{front}", text, flags=re.M)
    text = re.sub(r"^( *bind) (?!127\.0\.0\.1:).*$", rf"\1 127.0.0.1:{free_port()}", text, flags=re.M)
    one = rf"\1server \2 127.0.0.1:{echo} no-check"
    return re.sub(r"^( *)(?:server-template|server) (\S+) .*$", one, text, flags=re.M)


def ask(port: int, path: str, headers: dict[str, str]) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    return json.loads(body) if answer.status == 200 else {"status": str(answer.status)}


def main() -> None:
    given = json.loads(sys.argv[1])
    echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=echo.serve_forever, daemon=True).start()
    front = free_port()
    with tempfile.NamedTemporaryFile("w") as copy:
        copy.write(rewritten(CONFIGURATION.read_text(), front, echo.server_port))
        copy.flush()
        gateway = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-q", "-f", copy.name], stdout=sys.stderr)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if gateway.poll() is not None or probe.connect_ex(("127.0.0.1", front)) == 0:
                        break
                time.sleep(0.1)
            pair = base64.b64encode(f"{given['user']}:{given['password']}".encode()).decode()
            login = {"Authorization": f"Basic {pair}"}
            told = {
                name: ask(front, path, headers | (login if with_login else {}))
                for name, (path, headers, with_login) in given["requests"].items()
            }
        finally:
            gateway.terminate()
            gateway.wait()
    print(json.dumps(told))


main()
