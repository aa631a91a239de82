"""A host of the site: its marker, its packages, and a firewall that lets in what the map declares."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.site import checks
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("all")

SSH = 22


def rules(host: Any) -> list[dict[str, Any]]:
    """Rules of the site's own table, as nft lists them."""
    listed = json.loads(host.check_output("nft -j list table inet millrace"))["nftables"]
    return [entry["rule"] for entry in listed if "rule" in entry]


def reachable(address: str, port: int) -> bool:
    """Whether this machine, which is outside the site, gets as far as an answer of any kind."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.settimeout(2)
        try:
            probe.connect((address, port))
        except TimeoutError:
            return False
        except OSError:
            return True
    return True


def expected(host: Any) -> set[tuple[str, str, int, int]]:
    """(service, protocol, first port, last port) that the map of connections declares for a host."""
    name = SITE.name(host)
    found = {("ssh", "tcp", SSH, SSH), ("dhcpv6", "udp", 546, 546)}
    for service, entry in SITE.services.items():
        members = [h["name"] for h in SITE.members(entry["group"])][: 1 if entry.get("first") else None]
        if name in members:
            last = entry["port"] + int(entry.get("span", 1)) - 1
            for protocol in ("tcp", "udp") if entry.get("udp") else ("tcp",):
                found.add((service, protocol, entry["port"], last))
    return found


def test_marker_names_the_site(host: Any) -> None:
    marker = host.file("/etc/millrace/site")
    assert marker.content_string.split() == [SITE.facts["name"], SITE.secrets["site_id"]]


def test_firewall_is_up_and_stays_up(host: Any) -> None:
    checks.check_unit(host, "millrace-nftables.service")


def test_firewall_drops_what_nobody_declared(host: Any) -> None:
    listed = json.loads(host.check_output("nft -j list table inet millrace"))["nftables"]
    (chain,) = [entry["chain"] for entry in listed if "chain" in entry]
    assert (chain["hook"], chain["policy"]) == ("input", "drop")


def test_firewall_opens_exactly_the_declared_ports(host: Any) -> None:
    found = set()
    for rule in rules(host):
        for match in (e["match"] for e in rule["expr"] if "match" in e):
            if isinstance(match["left"], dict) and match["left"].get("payload", {}).get("field") == "dport":
                right = match["right"]
                first, last = right["range"] if isinstance(right, dict) else (right, right)
                found.add((rule["comment"], match["left"]["payload"]["protocol"], first, last))
    assert found == expected(host)


def test_only_ssh_and_the_gateway_answer_from_outside(host: Any) -> None:
    address = SITE.address(host)
    outside = {SSH} | {
        entry["port"]
        for entry in SITE.services.values()
        if "outside" in entry["from"] and SITE.name(host) in [h["name"] for h in SITE.members(entry["group"])]
    }
    ports = {entry["port"] for entry in SITE.services.values()} | {SSH, 111}
    with ThreadPoolExecutor(len(ports)) as pool:
        answers = dict(zip(ports, pool.map(lambda port: reachable(address, port), ports), strict=True))
    assert {port for port, answer in answers.items() if answer} == outside


def test_journal_is_limited(host: Any) -> None:
    lines = host.check_output("systemd-analyze cat-config systemd/journald.conf").splitlines()
    assert [line for line in lines if line.startswith("SystemMaxUse=")]


def test_no_unit_has_failed(host: Any) -> None:
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
