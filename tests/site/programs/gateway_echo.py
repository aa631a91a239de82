"""Runs on an edge host: asks a copy of its gateway, whose servers answer with the headers that reached them.

Asked {"user", "password", "requests": {name: [path, headers, login]}}, it prints {name: headers}.
Asked {"pieces": [path, body], "times"}, it sends the head of a request and then the body, so many times,
while one server of two ends each connection when it has the request; it prints {"statuses", "ended"}.
Asked {"held": path, "rate"}, it sends four predictions more at once than a server is filled with, which are
answered when all have come. `rate` replaces that above which servers are filled. It prints {"fill", "held":
{server: its number}}; `fill` is 0 where the gateway fills none.
"""

import base64
import collections
import concurrent.futures
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

    def told(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def do_GET(self) -> None:
        body = json.dumps(self.told()).encode()
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


class Holding(Echo):
    """Answers when all requests have come, to whichever of its servers; says its port, too."""

    come: threading.Barrier

    def told(self) -> dict[str, str]:
        Holding.come.wait(5)
        return {**super().told(), "port": str(self.server.server_address[1])}


class Server(socketserver.ThreadingTCPServer):
    """Listens at a free port until the program ends."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, daemon=True).start()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rewritten(text: str, front: int, echo: int, others: dict[str, dict[str, int]]) -> str:
    """The gateway's configuration on loopback, in plain text, with the echo as every server.

    `others`: {name of a server: the ports of those that stand in its place, by name}.
    """
    text = re.sub(
        r"^ *(stats socket|server-state-file|load-server-state-from-file) .*\n", "", text, flags=re.M
    )
    text = re.sub(r"^( *bind) \S+:443 .*$", rf"\1 127.0.0.1:{front}", text, flags=re.M)
    text = re.sub(r"^( *bind) (?!127\.0\.0\.1:).*$", rf"\1 127.0.0.1:{free_port()}", text, flags=re.M)

    def server(line: re.Match[str]) -> str:
        ports = others.get(line[2], {line[2]: echo})
        return "".join(f"{line[1]}server {name} 127.0.0.1:{port} no-check\n" for name, port in ports.items())

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


def configured(given: dict[str, Any], text: str, front: int) -> tuple[str, dict[int, str]]:
    """The configuration of the copy, and the names of holding servers by port."""
    echo = Server(Echo).port
    others: dict[str, dict[str, int]] = {}
    holding: dict[int, str] = {}
    if "pieces" in given:
        ending = Server(Ending).port
        others = {name: {"ending": ending, name: echo} for name in ("local1", "prediction")}
    if "held" in given:
        Holding.come = threading.Barrier(held_at_once(text))
        names = re.findall(r"^ *server(?:-template)? (local\d+|prediction) ", text, flags=re.M)
        holding = {Server(Holding).port: name for name in names}
        others = {name: {name: port} for port, name in holding.items()}
        text = re.sub(r"(?<=be_sess_rate gt )\d+", str(given["rate"]), text)
    return rewritten(text, front, echo, others), holding


def fill(text: str) -> int:
    """Requests that the first server gets before the next is asked; 0 where none is filled."""
    rule = re.search(r"^ *use-server local1 if .*srv_conn\(local1\) lt (\d+) ", text, flags=re.M)
    return int(rule[1]) if rule else 0


def held_at_once(text: str) -> int:
    return fill(text) + 4


def asked(given: dict[str, Any], text: str, front: int, holding: dict[int, str]) -> dict[str, Any]:
    """What is to be printed."""
    if "held" in given:
        count = held_at_once(text)
        with concurrent.futures.ThreadPoolExecutor(count) as clients:
            answers = list(clients.map(lambda _: ask(front, given["held"], {}), range(count)))
        come = collections.Counter(int(answer["port"]) for answer in answers)
        return {"fill": fill(text), "held": {name: come[port] for port, name in holding.items()}}
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
    front = free_port()
    text, holding = configured(given, CONFIGURATION.read_text(), front)
    with tempfile.NamedTemporaryFile("w") as copy:
        copy.write(text)
        copy.flush()
        gateway = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-q", "-f", copy.name], stdout=sys.stderr)
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if gateway.poll() is not None or probe.connect_ex(("127.0.0.1", front)) == 0:
                        break
                time.sleep(0.1)
            told = asked(given, text, front, holding)
        finally:
            gateway.terminate()
            gateway.wait()
    print(json.dumps(told))


main()
