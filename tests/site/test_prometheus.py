"""Prometheus: every service that declares metrics is watched, and up."""

from typing import Any

from tests.site import checks
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("observe")
UNIT = "prometheus.service"
PORT = SITE.services["prometheus"]["port"]
TLS = SITE.variables["site_tls_dir"]


def ask(path: str) -> Any:
    """`data` of an answer of Prometheus' API, asked through the gateway."""
    answer = SITE.client().get(SITE.url("prometheus", f"/api/v1/{path}"), timeout=10)
    answer.raise_for_status()
    return answer.json()["data"]


def declared() -> set[tuple[str, str, int]]:
    """(service, host, port) of everything that the map of connections says has metrics."""
    found = set()
    for name, service in SITE.services.items():
        hosts = SITE.members(service["group"])[: 1 if service.get("first") else None]
        for port in range(service["port"], service["port"] + int(service.get("span", 1))):
            if service.get("metrics"):
                found |= {(name, host["name"], port) for host in hosts}
    return found


def test_unit(host: Any) -> None:
    checks.check_unit(host, UNIT)
    checks.check_runs_as(host, UNIT, "prometheus")
    checks.check_memory(host, UNIT)


def test_listens(host: Any) -> None:
    checks.check_listens(host, UNIT, {(SITE.address(host), PORT)})


def test_demands_a_certificate(host: Any) -> None:
    answer = host.run(f"curl -sS --cacert {TLS}/ca.crt https://{SITE.address(host)}:{PORT}/")
    assert answer.rc != 0, "answers anyone"
    assert "certificate required" in answer.stderr


def test_every_declared_service_is_a_target_and_up() -> None:
    seen: dict[tuple[str, str, int], str] = {}

    def all_up() -> bool:
        seen.clear()
        for target in ask("targets?state=active")["activeTargets"]:
            labels = target["labels"]
            key = (labels["service"], labels["host"], int(labels["instance"].rsplit(":", 1)[1]))
            seen[key] = "" if target["health"] == "up" else target["lastError"] or target["health"]
        return seen.keys() == declared() and not any(seen.values())

    try:
        checks.wait_for("every declared target is up", all_up, 45)
    except AssertionError as error:
        problems = {**dict.fromkeys(declared(), "is no target"), **seen}
        lines = [
            f"{service} on {host}:{port}: {why}" for (service, host, port), why in problems.items() if why
        ]
        raise AssertionError("\n".join([str(error), *sorted(lines)])) from None


def test_rules_are_loaded_and_work() -> None:
    groups = {g["name"]: g["rules"] for g in ask("rules")["groups"]}
    names = {r["name"] for r in groups["millrace"]}
    assert names >= {"TargetDown", "ServiceDown", "DiskFilling", "MemoryLow"}
    broken = [r["name"] + ": " + r["lastError"] for r in groups["millrace"] if r["health"] == "err"]
    assert not broken


def test_survives_a_restart_with_what_it_knew(host: Any) -> None:
    started = f"timestamp(up{{service='prometheus',host='{host.check_output('hostname -s')}'}})"
    before = ask(f"query?query={started}")["result"]
    assert before, "Prometheus does not watch itself"
    moment = before[0]["value"][1]
    checks.check_survives_restart(host, UNIT, lambda: ask("query?query=1"))
    after = ask(f"query?query=up{{service='prometheus'}}&time={moment}")["result"]
    assert after, "samples of before the restart are gone"
