"""Names of the site: hosts, services, members and addresses, from every edge host alike."""

from __future__ import annotations

from typing import Any

from tests.site import checks
from tests.site.inside import ask as ask_service
from tests.site.inside import check_demands_certificate
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("edge")
UNIT = "named.service"
EXPORTER = "prometheus-bind-exporter.service"
PORT = SITE.services["dns"]["port"]
METRICS = SITE.services["dns_metrics"]


def ask(host: Any, name: str, kind: str = "A", *more: str) -> list[str]:
    """Answers of the host's own server, sorted."""
    words = " ".join([f"@{SITE.address(host)}", "+time=2", "+tries=1", *more, name, kind])
    return sorted(host.check_output(f"dig +short {words}").splitlines())


def addresses(group: str) -> list[str]:
    return sorted(member["address"] for member in SITE.members(group))


def test_unit(host: Any) -> None:
    checks.check_unit(host, UNIT)
    checks.check_runs_as(host, UNIT, "bind")
    checks.check_memory(host, UNIT)


def test_listens(host: Any) -> None:
    checks.check_listens(host, UNIT, {(SITE.address(host), PORT)})


def told(host: Any, metric: str) -> float:
    """The value of one metric, labels included in its name, that the exporter tells."""
    status, text = ask_service(host, "dns_metrics", METRICS["metrics"])
    assert status == 200, text
    values = [line.rsplit(" ", 1) for line in text.splitlines()]
    return float(dict(pair for pair in values if len(pair) == 2).get(metric, 0))


def test_exporter_unit(host: Any) -> None:
    checks.check_unit(host, EXPORTER)
    checks.check_runs_as(host, EXPORTER, "prometheus")
    checks.check_memory(host, EXPORTER)
    checks.check_listens(host, EXPORTER, {(SITE.address(host), METRICS["port"])})


def test_metrics_tell_of_a_question(host: Any) -> None:
    asked = 'bind_incoming_queries_total{type="HINFO"}'
    before = told(host, asked)
    # A kind that nothing of the site asks for.
    ask(host, SITE.domain, "HINFO")
    assert told(host, "bind_up") == 1
    assert told(host, asked) == before + 1


def test_metrics_are_told_to_who_has_a_certificate(host: Any) -> None:
    check_demands_certificate(host, "dns_metrics")


def test_hosts_have_names_and_addresses_have_hosts(host: Any) -> None:
    for member in SITE.members("all"):
        assert ask(host, f"{member['name']}.{SITE.domain}") == [member["address"]]
        assert ask(host, "", "", "-x", member["address"]) == [f"{member['name']}.{SITE.domain}."]


def test_services_are_found_at_the_gateway(host: Any) -> None:
    named = [(name, s) for s in SITE.services.values() for name in s.get("name", [])]
    assert named
    for name, service in named:
        group = "edge" if service.get("gateway") else service["group"]
        assert ask(host, f"{name}.{SITE.domain}") == addresses(group), name


def test_members_are_found_by_srv_one_a_process(host: Any) -> None:
    listed = [service for service in SITE.services.values() if service.get("srv")]
    assert listed
    for service in listed:
        members = SITE.members(service["group"])[: 1 if service.get("first") else None]
        expected = [
            f"0 10 {service['port'] + number} {member['name']}.{SITE.domain}."
            for member in members
            for number in range(int(service.get("span", 1)))
        ]
        assert ask(host, f"{service['srv']}.{SITE.domain}", "SRV") == sorted(expected)


def test_edge_hosts_are_its_name_servers_with_one_serial(host: Any) -> None:
    assert ask(host, SITE.domain, "NS") == sorted(f"{m['name']}.{SITE.domain}." for m in SITE.members("edge"))
    serials = {
        host.check_output("dig +short @%s %s SOA", member["address"], SITE.domain).split()[2]
        for member in SITE.members("edge")
    }
    assert len(serials) == 1, serials


def test_unknown_name_is_denied(host: Any) -> None:
    assert "status: NXDOMAIN" in host.check_output(f"dig @{SITE.address(host)} nobody.{SITE.domain}")


def test_zone_is_given_to_nobody_without_the_key(host: Any) -> None:
    assert "Transfer failed" in host.run(f"dig @{SITE.address(host)} {SITE.domain} AXFR").stdout


def test_survives_a_restart(host: Any) -> None:
    checks.check_survives_restart(host, UNIT, lambda: ask(host, SITE.domain) == addresses("edge"))
