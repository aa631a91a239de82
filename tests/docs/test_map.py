"""The map of connections against the sockets of a live site: all that listens and talks was declared."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re

import pytest
import testinfra  # type: ignore[import-untyped]

from millrace.cli.services import SERVICES
from tests.site.live import SITE

# Units that are no service of their own name, and the group that runs them.
OTHERS = {
    "millrace-kafka-tls.service": "store",
    "millrace-spark-tls.service": "train",
    "prometheus-bind-exporter.service": "edge",
    "prometheus-postgres-exporter.service": "store",
}
SSH = 22
LOOPBACK = re.compile(r"127\.|\[?::1|\[?::ffff:127\.")


@dataclasses.dataclass(frozen=True)
class Socket:
    """One line of `ss`: a unit's end of a connection, or what it listens on."""

    unit: str
    address: str
    port: int
    peer: str
    peer_port: int


@functools.cache
def sockets(host: str) -> tuple[list[Socket], list[Socket]]:
    """What listens on a host beyond loopback, and the connections whose client end is there."""
    listening, connected = [], []
    run = testinfra.get_host(host).check_output
    for line in run("ss -Hltun --cgroup").splitlines():
        if (found := _parse(line)) and not LOOPBACK.match(found.address):
            listening.append(found)
    ports = {each.port for each in listening}
    with SITE.client(login=False) as session:
        # The gateway keeps its connection to a prediction server for the next request.
        session.get(f"https://{SITE.gateway}/v2/health/ready", timeout=10)
    # Checks of the gateway and questions of Prometheus come and go: look for some seconds.
    for line in run(
        "for i in $(seq 20); do ss -Htn --cgroup state established; sleep 0.2; done"
    ).splitlines():
        found = _parse("tcp ESTAB " + line)
        # The server's end of a connection is on a port that something listens on.
        if found and found.port not in ports and not LOOPBACK.match(found.peer):
            connected.append(found)
    return listening, connected


def _parse(line: str) -> Socket | None:
    words = line.split()
    group = words[-1].rsplit("/", 1)[-1]
    if not group.endswith(".service"):
        return None
    (address, port), (peer, peer_port) = (word.rsplit(":", 1) for word in words[-3:-1])
    return Socket(group, address, int(port), peer, int(peer_port) if peer_port != "*" else 0)


def service_of(port: int) -> str | None:
    """The declared service that a port belongs to."""
    for name, service in SITE.services.items():
        if service["port"] <= port < service["port"] + int(service.get("span", 1)):
            return name
    return None


def group_of(unit: str) -> str | None:
    """The group of hosts that runs a unit; `all` for those of every host."""
    for service in SERVICES:
        if fnmatch.fnmatch(unit, service.unit):
            return service.group
    return OTHERS.get(unit)


HOSTS = SITE.hosts("all")


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.rsplit("/", 1)[-1].split("?")[0])
def test_nothing_listens_that_the_map_does_not_show(host: str) -> None:
    listening, _ = sockets(host)
    assert len(listening) > 5
    found = {f"{each.unit} listens on {each.address}:{each.port}" for each in listening if unknown(each.port)}
    assert found == set()


def unknown(port: int) -> bool:
    return port != SSH and service_of(port) is None


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.rsplit("/", 1)[-1].split("?")[0])
def test_every_connection_is_an_arrow_of_the_map(host: str) -> None:
    _, connected = sockets(host)
    addresses = {member["address"] for member in SITE.members("all")}
    undeclared = set()
    arrows = set()
    for each in connected:
        name = service_of(each.peer_port)
        if each.peer not in addresses or name is None:
            continue
        group = group_of(each.unit)
        arrows.add((each.unit, name))
        allowed = SITE.services[name]["from"]
        if group not in allowed and "all" not in allowed:
            undeclared.add(f"{each.unit} (group {group}) is connected to {name} on port {each.peer_port}")
    assert len(arrows) > 3, "no connections were seen"
    assert undeclared == set()
