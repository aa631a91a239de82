"""What the gateway adds to a request: CPU of its processes, and the time a client waits.

    MILLRACE_SITE_DIR=... python -m tests.bench.gateway [requests]

The backend is a prediction server's constant answer (GET /v2/health/live). Then a thousand predictions of
`iris` (`millrace train iris; millrace deploy iris`) are asked for in each of thirty seconds, while the idle
rest of the site runs.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import testinfra

from tests.bench.serving import steady
from tests.bench.serving.load import Ask
from tests.site import checks
from tests.site.live import SITE

HOST, PORT = SITE.gateway.rsplit(":", 1)
PATH = "/v2/health/live"
COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
FLOWER = {"inputs": [{"name": name, "shape": [1, 1], "datatype": "FP32", "data": [1.5]} for name in COLUMNS]}
HELD, HELD_S = 1000, 30


def processor_seconds(host: Any) -> float:
    """CPU time that HAProxy's processes have used."""
    ticks = 0
    for pid in checks.pids(host, "haproxy.service"):
        fields = host.check_output("cat /proc/%s/stat", str(pid)).rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def kept(headers: dict[str, str], body: bytes | None) -> Callable[[], None]:
    """Requests on one connection."""
    connection = open_connection()
    return lambda: exchange(connection, headers, body)


def fresh(headers: dict[str, str], body: bytes | None) -> Callable[[], None]:
    """Each request on a connection of its own, with a TLS handshake."""

    def request() -> None:
        connection = open_connection()
        exchange(connection, headers, body)
        connection.close()

    return request


def open_connection() -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=SITE.ca)
    return http.client.HTTPSConnection(HOST, int(PORT), context=context)


def exchange(connection: http.client.HTTPSConnection, headers: dict[str, str], body: bytes | None) -> None:
    connection.request("GET", PATH, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"{PATH} gave {answer.status}: is a prediction server up? See millrace status.")


def main(requests: int = 5000) -> None:
    host = testinfra.get_host(SITE.hosts("edge")[0])
    user, password = SITE.user()
    login = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    cases: list[tuple[str, Callable[[], None], int]] = [
        ("kept connection", kept({}, None), requests),
        ("kept connection, login", kept(login, None), requests),
        ("kept connection, 4 kB body", kept({}, b"x" * 4096), requests),
        ("kept connection, 256 kB body", kept({}, b"x" * 262_144), requests // 10),
        ("connection for each request", fresh({}, None), requests // 5),
    ]
    idle_from, idle_seconds = processor_seconds(host), 10
    time.sleep(idle_seconds)
    idle = (processor_seconds(host) - idle_from) / idle_seconds
    print(f"idle: {idle * 100:.1f} % of a core (health checks, SRV lookups)\n")
    print(f"{'requests':<30} {'number':>8} {'CPU us':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for name, request, number in cases:
        waits = []
        before, start = processor_seconds(host), time.monotonic()
        for _ in range(number):
            begun = time.perf_counter()
            request()
            waits.append(time.perf_counter() - begun)
        busy = processor_seconds(host) - before - idle * (time.monotonic() - start)
        p50, p99 = (statistics.quantiles(waits, n=100)[cut] * 1e3 for cut in (49, 98))
        print(f"{name:<30} {number:>8} {busy / number * 1e6:>8.0f} {p50:>8.2f} {p99:>8.2f}")
    ask = Ask("/v2/models/iris/infer", json.dumps(FLOWER).encode())
    waits, failed = steady.hold(f"https://{SITE.gateway}", ask, HELD, HELD_S)
    p50, p99 = (statistics.quantiles(waits, n=100)[cut] * 1e3 for cut in (49, 98))
    good = 1 - failed / (HELD * HELD_S)
    print(f"\n{HELD} predictions/s held: {good:.2%} answered, p50 {p50:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
