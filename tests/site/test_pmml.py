"""PMML documents as they are: a JVM that is there while one is deployed, and whose end hurts nobody."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.site import checks
from tests.site.live import SITE
from tests.site.versions import deploy, register, remove
from tests.unit.serving.pmml.documents import write

testinfra_hosts = SITE.hosts("serve")
MODEL = "site-pmml"
UNIT, SOCKET = "millrace-pmml.service", "millrace-pmml.socket"


@pytest.fixture
def version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One version of a document with a derived field, live."""
    version = register(write(tmp_path_factory.mktemp("model") / "bundle"), MODEL)
    answer = deploy(MODEL, version)
    assert answer.status_code == 200, answer.text
    yield version
    remove(MODEL)


def ask() -> Any:
    with SITE.client() as session:
        body = {"instances": [{"size": 2.0, "city": "Oslo"}, {"size": None, "city": "Lima"}]}
        return session.post(SITE.url("predict", f"/v1/models/{MODEL}:predict"), json=body, timeout=30)


def state(host: Any) -> str:
    return checks.show(host, UNIT, "ActiveState")


def test_who_may_ask(host: Any) -> None:
    socket = host.service(SOCKET)
    assert socket.is_running
    assert socket.is_enabled
    place = checks.show(host, SOCKET, "Listen").split()[0]
    assert host.check_output("stat -c '%%U %%G %%a' %s", place) == "root prediction 660"


@pytest.mark.usefixtures("version")
def test_a_document_is_answered_as_it_says(host: Any) -> None:
    answer = ask()
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [
        {"prediction": [4.5], "valid": True},
        {"prediction": [None], "valid": False},
    ]
    assert state(host) == "active"
    checks.check_runs_as_nobody_else(host, UNIT)
    checks.check_memory(host, UNIT)
    checks.check_listens(host, UNIT, set())


@pytest.mark.usefixtures("version")
def test_a_killed_jvm_comes_back_with_its_documents(host: Any) -> None:
    assert ask().status_code == 200
    before = checks.show(host, UNIT, "MainPID")
    host.check_output("kill -9 %s", before)
    statuses: list[int] = []

    def answers() -> bool:
        statuses.append(ask().status_code)
        return statuses[-1] == 200

    checks.wait_for("the document is answered again", answers)
    assert set(statuses) <= {200, 503, 504}
    checks.wait_for("another JVM runs", lambda: checks.show(host, UNIT, "MainPID") not in (before, "0"))


@pytest.mark.usefixtures("version")
def test_restarting_it_is_noticed_by_nobody_for_long(host: Any) -> None:
    checks.check_survives_restart(host, UNIT, lambda: ask().status_code == 200)


def test_no_jvm_is_there_while_no_document_is_deployed(host: Any, version: str) -> None:
    assert ask().status_code == 200
    remove(MODEL)
    checks.wait_for("the JVM has ended", lambda: state(host) == "inactive", 180)
    assert host.service(SOCKET).is_running
