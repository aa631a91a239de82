"""A reboot of every host: all services come back by themselves, with what they knew."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import testinfra

from tests.site import checks
from tests.site.live import SITE


@pytest.fixture(scope="module")
def before() -> list[dict[str, Any]]:
    return deployments()


@pytest.fixture(scope="module", autouse=True)
def rebooted(before: list[dict[str, Any]]) -> None:
    for name in SITE.hosts("all"):
        host = testinfra.get_host(name)
        was = booted(host)
        host.run("systemctl reboot")
        checks.wait_for(
            f"{name} is there again", lambda host=host, was=was: booted(host) not in ("", was), 120
        )


def booted(host: Any) -> str:
    """When PID 1 was started; empty while the host is away."""
    run = host.run("ps -o lstart= -p 1")
    return run.stdout.strip() if run.rc == 0 else ""


def deployments() -> list[dict[str, Any]]:
    with SITE.client() as session:
        answer = session.get(f"https://{SITE.gateway}/deployments", timeout=10)
    assert answer.status_code == 200, answer.text
    return sorted(answer.json(), key=lambda record: record["model"])


def test_every_unit_of_the_host_is_up() -> None:
    for name in SITE.hosts("all"):
        host = testinfra.get_host(name)
        checks.wait_for("the boot is over", lambda host=host: state(host) in ("running", "degraded"), 180)
        failed = host.check_output("systemctl list-units --failed --plain --no-legend")
        assert state(host) == "running", failed


def state(host: Any) -> str:
    return host.run("systemctl is-system-running").stdout.strip()


def test_no_unit_was_left_out_for_an_ordering_cycle() -> None:
    for name in SITE.hosts("all"):
        cycles = testinfra.get_host(name).run("journalctl -b --no-pager | grep -i 'ordering cycle'")
        assert cycles.stdout == ""


def test_what_was_deployed_is_live_again(before: list[dict[str, Any]]) -> None:
    assert before, "no model was deployed before the reboot: run the suite `journey` first"
    assert checks.wait_for("control answers", lambda: deployments() == before)
    for record in before:
        checks.wait_for(f"{record['model']} is ready", lambda record=record: ready(record))


def ready(record: dict[str, Any]) -> bool:
    with SITE.client(login=False) as session:
        url = f"https://{SITE.gateway}/v2/models/{record['model']}/versions/{record['version']}/ready"
        answer: requests.Response = session.get(url, timeout=10)
    return answer.status_code == 200


def test_every_target_of_prometheus_is_up() -> None:
    def down() -> list[str]:
        with SITE.client() as session:
            answer = session.get(
                SITE.url("prometheus", "/api/v1/query"), params={"query": "up != 1"}, timeout=10
            )
        return [series["metric"]["instance"] for series in answer.json()["data"]["result"]]

    checks.wait_for("every target is scraped again", lambda: down() == [], 120)
