"""What the gateway knows, asked of HAProxy itself."""

from __future__ import annotations

from typing import Any

import testinfra

from tests.site import checks
from tests.site.live import SITE


def edge() -> Any:
    """The first edge host."""
    return testinfra.get_host(SITE.hosts("edge")[0])


def addresses_up(service: str) -> list[str]:
    """Where the servers of a service are that the gateway finds healthy; `-` for a Unix socket."""
    ask = f"echo show servers state {service} | socat - UNIX-CONNECT:/run/haproxy/admin.sock"
    lines = [line.split() for line in edge().check_output(ask).splitlines()]
    return [words[4] for words in lines if len(words) > 5 and words[1] == service and words[5] == "2"]


def by_sockets() -> bool:
    """Whether the gateway should reach the prediction servers by Unix sockets: all are on its own host."""
    return SITE.hosts("serve") == SITE.hosts("edge")[:1]


def wait_for_all_prediction_servers() -> None:
    """A process that answers again gets no requests before the gateway has seen it."""
    expected = len(SITE.members("serve")) * int(SITE.services["prediction"]["span"])
    checks.wait_for(
        "the gateway has all prediction servers", lambda: len(addresses_up("prediction")) == expected
    )
