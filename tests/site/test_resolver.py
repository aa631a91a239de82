"""Every host finds names through the site's servers, whoever else writes resolv.conf."""

from __future__ import annotations

from typing import Any

from tests.site import checks
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("all")


def servers(host: Any) -> list[str]:
    lines = host.file("/etc/resolv.conf").content_string.splitlines()
    return [line.split()[1] for line in lines if line.startswith("nameserver")]


def edge() -> set[str]:
    return {member["address"] for member in SITE.members("edge")}


def test_asks_the_edge_hosts_alone(host: Any) -> None:
    found = servers(host)
    assert found
    assert set(found) <= edge()
    assert len(found) == min(3, len(edge()))


def test_short_and_long_names(host: Any) -> None:
    for member in SITE.members("all"):
        for name in (f"{member['name']}.{SITE.domain}", f"predict.{SITE.domain}", "predict"):
            answer = host.check_output("getent ahosts %s", name)
            wanted = {member["address"]} if name.startswith(member["name"]) else edge()
            assert {line.split()[0] for line in answer.splitlines()} <= wanted


def test_holds_after_a_reboot(host: Any) -> None:
    for unit in ("millrace-resolver.path", "millrace-resolver.service"):
        assert host.service(unit).is_enabled, f"{unit} would not start after a reboot"
    # What Docker does when a container starts, and a DHCP client when a lease comes.
    host.check_output("echo nameserver 192.0.2.1 > /etc/resolv.conf")
    checks.wait_for("resolv.conf is the site's again", lambda: set(servers(host)) <= edge(), 15)
    assert host.run("getent hosts predict").rc == 0
