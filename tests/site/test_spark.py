"""Spark: master, workers, Connect through the gateway, and the pages of what ran."""

from __future__ import annotations

from typing import Any

import pytest
import testinfra

from tests.site import checks
from tests.site.inside import TLS, ask, check_demands_certificate, run_program
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("train")
FIRST = testinfra.get_host(SITE.hosts("train")[0])
WORKER, FRONT = "millrace-spark-worker.service", "millrace-spark-tls.service"
MASTER, CONNECT, HISTORY = (f"millrace-spark-{name}.service" for name in ("master", "connect", "history"))
# What gets TLS in front of its plain port of loopback; on all hosts but the first only the worker's pages.
FRONTED = ("spark_master_ui", "spark_worker_ui", "spark_connect", "spark_driver_ui", "spark_history")
DIRECTORY = "/var/lib/millrace/shared/site-spark"
ROWS = 3000
SUMS = [sum(n * n for n in range(rest, ROWS, 3)) for rest in range(3)]


def units(host: Any) -> list[str]:
    return [MASTER, WORKER, CONNECT, HISTORY, FRONT] if is_first(host) else [WORKER, FRONT]


def is_first(host: Any) -> bool:
    return SITE.name(host) == SITE.members("train")[0]["name"]


def port(service: str) -> int:
    return int(SITE.services[service]["port"])


def session(given: str, directory: str = DIRECTORY) -> Any:
    """What a client gets that connects through the gateway and computes (without a directory: nothing)."""
    remote = f"sc://connect.{SITE.domain}:{port('gateway')}/;use_ssl=true"
    if given:
        remote += f";token={given}"
    question = {"remote": remote, "ca": f"{TLS}/ca.crt", "rows": ROWS, "directory": directory}
    return run_program(FIRST, "spark_session.py", question, "spark")


def token() -> str:
    return SITE.secrets["spark_connect_token"]


def computes() -> bool:
    answer = session(token())
    assert answer == {"answer": SUMS}, answer
    return True


def page(name: str, path: str) -> Any:
    """JSON of a page, through the gateway."""
    answer = SITE.client().get(SITE.url(name, path), timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def workers() -> list[str]:
    """Hosts of the workers that the master counts on."""
    return sorted(w["host"] for w in page("spark", "/json/")["workers"] if w["state"] == "ALIVE")


def all_workers() -> list[str]:
    return sorted(f"{member['name']}.{SITE.domain}" for member in SITE.members("train"))


def test_unit(host: Any) -> None:
    for unit in units(host):
        checks.check_unit(host, unit)
        checks.check_memory(host, unit)
        if unit == FRONT:
            checks.check_runs_as_nobody_else(host, unit)
        else:
            checks.check_runs_as(host, unit, "spark")


def fronted(host: Any) -> tuple[str, ...]:
    return FRONTED if is_first(host) else ("spark_worker_ui",)


def test_listens(host: Any) -> None:
    address = SITE.address(host)
    blocks = range(port("spark_blocks"), port("spark_blocks") + int(SITE.services["spark_blocks"]["span"]))
    # Driver and executors exchange blocks on any of the declared ports; how many executors there are varies.
    may = {WORKER: blocks, CONNECT: blocks}
    must = {
        MASTER: {port("spark_master")},
        WORKER: {port("spark_worker")},
        CONNECT: {port("spark_driver")},
        HISTORY: set(),
        FRONT: {port(name) for name in fronted(host)},
    }
    for unit in units(host):
        beyond = {(a, p) for a, p in checks.listening(host, unit) if a != "127.0.0.1"}
        found = {(a, p) for a, p in beyond if a != address or p not in may.get(unit, ())}
        assert found == {(address, p) for p in must[unit]}, unit


def test_nobody_without_a_certificate_of_the_site_gets_in(host: Any) -> None:
    check_demands_certificate(host, *fronted(host))


def test_every_worker_is_with_the_master_with_all_it_has() -> None:
    checks.wait_for("every worker is registered", lambda: workers() == all_workers(), 30)
    size = SITE.size["spark_worker"]
    for worker in page("spark", "/json/")["workers"]:
        if worker["state"] == "ALIVE":
            assert worker["cores"] == int(size["cores"])
            assert f"{worker['memory'] // 1024}g" == size["executor_memory"]


def test_a_session_through_the_gateway_computes() -> None:
    assert computes()


@pytest.mark.parametrize("given", ["wrong", ""])
def test_without_the_token_no_session_is_had(given: str) -> None:
    error = session(given, directory="").get("error", "let in")
    assert "uthenticat" in error, error


def test_a_login_is_no_token() -> None:
    url = f"https://{SITE.gateway}/spark.connect.SparkConnectService/Config"
    headers = {"Content-Type": "application/grpc", "TE": "trailers"}
    answer = SITE.client().post(url, data=b"\0" * 5, headers=headers, timeout=20)
    # 16 is gRPC's UNAUTHENTICATED; HTTP is content.
    assert answer.headers.get("grpc-status") == "16", (answer.status_code, answer.headers)


def test_secrets_are_read_by_the_service_alone(host: Any) -> None:
    file = host.file("/etc/millrace/spark/spark-defaults.conf")
    assert (file.user, file.group, file.mode) == ("root", "spark", 0o640)
    for secret in ("spark_rpc", "spark_connect_token"):
        seen = host.run("ps -e -ww -o args= | grep -F -- %s | grep -v grep", SITE.secrets[secret])
        assert seen.stdout == "", f"{secret} is in a command line"


def test_who_runs_code_there_cannot_become_the_host(host: Any) -> None:
    read = "setpriv --reuid=spark --regid=spark --init-groups cat %s"
    assert "Permission denied" in host.run(read, f"{TLS}/host.key").stderr
    group = host.group(SITE.variables["site_tls_group"]).gid
    for unit in set(units(host)) - {FRONT}:
        # What runs keeps the groups that it started with.
        groups = host.check_output(
            "grep ^Groups: /proc/%s/status", checks.show(host, unit, "MainPID")
        ).split()
        assert str(group) not in groups[1:], f"{unit} reads the host's key"


def test_metrics_tell_of_the_worker(host: Any) -> None:
    status, text = ask(host, "spark_worker_ui", SITE.services["spark_worker_ui"]["metrics"])
    assert status == 200, text
    assert "metrics_worker_coresFree" in text


def test_a_restarted_master_knows_its_workers_and_the_session_server() -> None:
    checks.check_survives_restart(FIRST, MASTER, lambda: workers() == all_workers())
    assert computes()


def test_after_a_crash_of_everything_a_session_computes() -> None:
    before = {unit: checks.show(FIRST, unit, "MainPID") for unit in units(FIRST)}
    FIRST.check_output(f"kill -9 {' '.join(before.values())}")

    def there(unit: str) -> bool:
        return FIRST.service(unit).is_running and checks.show(FIRST, unit, "MainPID") != before[unit]

    for unit in before:
        checks.wait_for(f"{unit} runs again", lambda unit=unit: there(unit))
    assert computes()


def test_a_restarted_worker_comes_back_to_the_master(host: Any) -> None:
    checks.check_survives_restart(host, WORKER, lambda: workers() == all_workers())


def test_a_restarted_session_server_answers_and_history_shows_what_ended() -> None:
    ended = page("spark", "/json/")["activeapps"][0]["id"]
    checks.check_survives_restart(FIRST, CONNECT, lambda: session(token(), directory="").get("answer"))
    checks.check_survives_restart(FIRST, HISTORY, lambda: page("spark-history", "/api/v1/applications"))

    def shown() -> bool:
        listed = page("spark-history", "/api/v1/applications?status=completed")
        return ended in [application["id"] for application in listed]

    checks.wait_for(f"history shows {ended}", shown, 30)
