"""Kafka: who gets in, what each may do, and that nothing recorded is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.site import checks
from tests.site.inside import ask, check_demands_certificate, name_of
from tests.site.live import SITE
from tests.site.topics import DEPLOYMENTS, kafka, records

testinfra_hosts = SITE.hosts("store")
UNIT = "millrace-kafka.service"
FRONT = "millrace-kafka-tls.service"
# No model's: a record without a value under this key changes nothing for those who follow the topic.
KEY = "site-kafka"


def test_unit(host: Any) -> None:
    for unit in (UNIT, FRONT):
        checks.check_unit(host, unit)
        checks.check_memory(host, unit)
    checks.check_runs_as(host, UNIT, "kafka")
    checks.check_runs_as_nobody_else(host, FRONT)


def listeners(host: Any) -> list[str]:
    """Services that this broker has a port for: the first three of three and more vote, else the first."""
    members = [member["name"] for member in SITE.members("store")]
    votes = SITE.name(host) in members[: 3 if len(members) >= 3 else 1]
    return ["kafka", "kafka_internal", *(["kafka_controller"] if votes else [])]


def test_listens(host: Any) -> None:
    address = SITE.address(host)
    checks.check_listens(host, UNIT, {(address, SITE.services[name]["port"]) for name in listeners(host)})
    checks.check_listens(host, FRONT, {(address, SITE.services["kafka_metrics"]["port"])})


def test_nobody_without_a_certificate_of_the_site_gets_in(host: Any) -> None:
    check_demands_certificate(host, *listeners(host), "kafka_metrics")


def test_its_files_are_its_own(host: Any) -> None:
    for path, owner in (("/etc/millrace/kafka", "root"), ("/var/lib/millrace/kafka", "kafka")):
        directory = host.file(path)
        assert (directory.user, directory.group, directory.mode) == (owner, "kafka", 0o750)
    # Made once with a password in it.
    assert not host.file("/etc/millrace/kafka/format.args").exists


def test_a_user_logs_in_by_the_hosts_name_and_sees_what_is_his() -> None:
    assert kafka("prediction", "log_in") == {"answer": [DEPLOYMENTS]}


@pytest.mark.parametrize(
    ("user", "password"), [("prediction", "wrong"), ("nobody", "wrong"), ("admin", "admin")]
)
def test_a_wrong_login_is_refused(user: str, password: str) -> None:
    assert kafka(user, "log_in", password) == {"error": "_AUTHENTICATION"}


def test_deployments_are_compacted_and_on_as_many_brokers_as_can_be() -> None:
    answer = kafka("admin", "describe", topic=DEPLOYMENTS)["answer"]
    assert answer["settings"]["cleanup.policy"] == "compact"
    # One partition: records of all models have one order.
    assert [len(replicas) for replicas in answer["replicas"]] == [min(3, len(SITE.members("store")))]


def test_control_writes_and_prediction_servers_read() -> None:
    assert kafka("control", "write", topic=DEPLOYMENTS, key=KEY, value="") == {"answer": None}
    assert [KEY, None] in kafka("prediction", "read", topic=DEPLOYMENTS)["answer"]


@pytest.mark.parametrize(
    ("user", "question"),
    [
        ("prediction", {"do": "write", "topic": DEPLOYMENTS, "key": KEY, "value": ""}),
        ("prediction", {"do": "create", "topic": KEY}),
        ("control", {"do": "create", "topic": KEY}),
        ("control", {"do": "write", "topic": "__consumer_offsets", "key": KEY, "value": ""}),
        ("control", {"do": "describe", "topic": DEPLOYMENTS}),
    ],
)
def test_refuses_what_a_user_has_no_right_to(user: str, question: dict[str, str]) -> None:
    assert kafka(user, **question) == {"error": "TOPIC_AUTHORIZATION_FAILED"}


def test_metrics_tell_of_the_broker(host: Any) -> None:
    status, text = ask(host, "kafka_metrics", SITE.services["kafka_metrics"]["metrics"])
    assert status == 200, text
    offline = [
        line for line in text.splitlines() if line.startswith("kafka_controller_kafkacontroller_offline")
    ]
    assert offline
    assert all(float(line.split()[-1]) == 0 for line in offline), offline


def test_survives_a_restart_with_its_records_and_those_who_follow_them(host: Any) -> None:
    before = records()
    checks.check_survives_restart(host, UNIT, lambda: records() == before)
    checks.check_survives_restart(host, FRONT, lambda: ask(host, "kafka_metrics", "/metrics")[0] == 200)

    def told() -> bool:
        answer = SITE.client().get(f"https://{SITE.gateway}/deployments", timeout=10)
        return answer.status_code == 200 and {r["model"]: r for r in answer.json()} == {
            model: json.loads(record) for model, record in before.items()
        }

    checks.wait_for(f"control reads the records again from {name_of(host)}", told, 30)
