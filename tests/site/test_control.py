"""Control: who may ask it, what it records, and that a restart leaves nothing half done."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.site import checks
from tests.site.certificates import certificate_for
from tests.site.inside import CERTIFICATE, ask, check_demands_certificate
from tests.site.live import SITE
from tests.site.topics import records
from tests.site.versions import deploy, register, remove
from tests.unit.serving.bundles import make_bundle

testinfra_hosts = SITE.hosts("edge")[:1]
UNIT = "millrace-control.service"
CONFIG = "/etc/millrace/control"
MODEL = "site-control"
NOBODY = "site-control-nobody"
REPLICAS = sorted(
    f"{member['name']}.{SITE.domain}:{int(SITE.services['prediction']['port']) + number}"
    for member in SITE.members("serve")
    for number in range(int(SITE.services["prediction"]["span"]))
)
# As the gateway passes a request on.
SECRET = {"X-Millrace-Gateway": SITE.secrets["gateway_to_backend"]}
OPERATOR = {"X-Millrace-User": "operator", "X-Millrace-Group": "operators"}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registered version of a small model that is not deployed."""
    given = register(make_bundle(tmp_path_factory.mktemp("model") / "bundle"), MODEL)
    remove(MODEL)
    yield given
    remove(MODEL)


def gateway(method: str, path: str, *, group: str = "operators", **options: Any) -> tuple[int, Any]:
    """Status and JSON that a user of a group gets (group empty: who does not log in)."""
    with SITE.client(login=False) as session:
        session.auth = SITE.user(group) if group else None
        answer = session.request(method, SITE.url("control", path), timeout=60, **options)
    return answer.status_code, answer.json()


def error(host: Any, path: str, **options: Any) -> tuple[int, str]:
    """Status and error that control itself answers to who asks beside the gateway."""
    status, body = ask(host, "control", path, **options)
    return status, json.loads(body)["error"]


def test_unit(host: Any) -> None:
    checks.check_unit(host, UNIT)
    checks.check_runs_as(host, UNIT, "control")
    checks.check_memory(host, UNIT)


def test_listens(host: Any) -> None:
    checks.check_listens(host, UNIT, {(SITE.address(host), SITE.services["control"]["port"])})


def test_answers_by_the_hosts_name_to_who_has_a_certificate(host: Any) -> None:
    assert ask(host, "control", "/health") == (200, '{"live":true}')
    check_demands_certificate(host, "control")


def test_secrets_are_read_by_the_service_alone(host: Any) -> None:
    for name in ("kafka.password", "gateway.secret"):
        file = host.file(f"{CONFIG}/{name}")
        assert (file.user, file.group, file.mode) == ("root", "control", 0o640), name


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        (OPERATOR, 403, "only the gateway may ask"),
        (OPERATOR | {"X-Millrace-Gateway": "guessed"}, 403, "only the gateway may ask"),
        (SECRET, 401, "log in"),
    ],
    ids=["without the secret", "with a wrong secret", "without a user"],
)
def test_refuses_who_did_not_come_by_the_gateway(
    host: Any, headers: dict[str, str], status: int, words: str
) -> None:
    answered, text = error(host, "/deployments", headers=headers)
    assert (answered, words in text) == (status, True), text


def test_refuses_a_host_that_is_no_gateway_even_with_the_secret(host: Any) -> None:
    with certificate_for(host, f"elsewhere.{SITE.domain}") as options:
        status, text = error(host, "/deployments", headers=SECRET | OPERATOR, certificate=options)
    assert (status, text) == (403, "only the gateway may ask this")
    assert ask(host, "control", "/deployments", headers=SECRET | OPERATOR, certificate=CERTIFICATE)[0] == 200


def test_only_who_is_logged_in_sees_what_is_deployed() -> None:
    assert gateway("GET", "/deployments", group="")[0] == 401
    for group in {user["group"] for user in SITE.variables["site_users"]}:
        assert gateway("GET", "/deployments", group=group)[0] == 200


def test_only_the_groups_of_its_configuration_change_what_is_deployed(host: Any) -> None:
    line = host.check_output("grep ^deploy_groups %s", f"{CONFIG}/control.toml")
    allowed = set(json.loads(line.split("=", 1)[1]))
    for group in {user["group"] for user in SITE.variables["site_users"]} | {"visitors"}:
        headers = SECRET | {"X-Millrace-User": "somebody", "X-Millrace-Group": group}
        status, text = error(host, f"/deployments/{NOBODY}", method="DELETE", headers=headers)
        # 404: it may, and there is no such deployment.
        assert status == (404 if group in allowed else 403), text
    assert "visitors" not in allowed


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", f"/deployments/{NOBODY}", b"", 404, "is not deployed"),
        ("DELETE", f"/deployments/{NOBODY}", b"", 404, "is not deployed"),
        ("PUT", f"/deployments/{NOBODY}", b'{"version": "1"}', 404, NOBODY),
        ("PUT", f"/deployments/{MODEL}", b'{"version": "999999"}', 404, "999999"),
        ("PUT", f"/deployments/{MODEL}", b'{"version": "latest"}', 400, "whole number"),
        ("PUT", f"/deployments/{MODEL}", b"{", 400, "the body must be as"),
        ("PUT", f"/deployments/{MODEL}", b" " * 100_000, 413, "larger than"),
        ("PUT", "/deployments/-x", b'{"version": "1"}', 400, "a model's name"),
        ("POST", f"/deployments/{MODEL}", b"", 405, "PUT"),
        ("GET", "/deployments/a/b", b"", 404, "nothing at"),
    ],
)
def test_a_bad_request_is_told_why(
    version: str, method: str, path: str, body: bytes, status: int, words: str
) -> None:
    answered, content = gateway(method, path, data=body)
    assert (answered, words in content["error"]) == (status, True), content


def test_what_it_acknowledges_is_recorded_and_served(version: str) -> None:
    remove(MODEL)
    begun = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    answer = deploy(MODEL, version)
    assert answer.status_code == 200, answer.text
    record = answer.json()
    assert (record["model"], record["version"], record["replicas"]) == (MODEL, version, REPLICAS)
    assert record["user"] == SITE.user()[0]
    assert begun <= datetime.datetime.fromisoformat(record["time"]) <= datetime.datetime.now(datetime.UTC)
    assert gateway("GET", f"/deployments/{MODEL}") == (200, record)
    assert record in gateway("GET", "/deployments")[1]
    # What everyone follows is what was answered.
    assert json.loads(records()[MODEL]) == record
    with SITE.client(login=False) as session:
        served = session.get(f"https://{SITE.gateway}/v2/models/{MODEL}", timeout=10).json()
    assert served["versions"] == [version]
    assert deploy(MODEL, version).json() == record


def test_a_bundle_that_does_not_reproduce_its_rows_changes_nothing(version: str, tmp_path: Path) -> None:
    before = deploy(MODEL, version).json()
    wrong = register(make_bundle(tmp_path / "bundle", wrong=True), MODEL)
    answer = deploy(MODEL, wrong)
    assert 400 <= answer.status_code < 500, answer.text
    assert "row 0" in answer.json()["error"]
    assert gateway("GET", f"/deployments/{MODEL}") == (200, before)


def test_a_restart_keeps_what_is_recorded_and_drops_what_was_not(host: Any, version: str) -> None:
    record = deploy(MODEL, version).json()
    # As a control leaves it that was killed between preparing and recording.
    begun = record | {"model": NOBODY, "generation": 1}
    replica = REPLICAS[0].split(":")[0]
    prepared = ask(host, "prediction", "/replica/prepare", method="POST", body=json.dumps(begun), at=replica)
    assert prepared[0] == 200, prepared
    assert NOBODY in held(host, replica)
    checks.check_survives_restart(
        host, UNIT, lambda: gateway("GET", f"/deployments/{MODEL}") == (200, record)
    )
    checks.wait_for("what was prepared is dropped", lambda: NOBODY not in held(host, replica), 30)


def held(host: Any, replica: str) -> dict[str, Any]:
    """What the first process of a prediction host has prepared and not been told to serve."""
    status, body = ask(host, "prediction", "/replica/status", at=replica)
    assert status == 200, body
    return json.loads(body)["held"]


def test_metrics_count_deployments(host: Any, version: str) -> None:
    deploy(MODEL, version)
    status, text = ask(host, "control", SITE.services["control"]["metrics"])
    assert status == 200
    assert 'millrace_deployments_total{status="200"}' in text
