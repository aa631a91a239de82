"""The control API: who may ask, what it answers."""

from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from millrace.control.app import MAX_BODY, App
from millrace.control.config import ControlConfig
from millrace.serving.config import Kafka, Registry, Tls
from millrace.serving.http import Request, Response
from tests.unit.control.test_deployer import Site
from tests.unit.serving.running import listening

LOGIN = {"x-millrace-gateway": "secret", "x-millrace-user": "ada", "x-millrace-group": "operators"}


class Control:
    """Control on a port of its own; `peer` is the common name that callers have."""

    def __init__(self, folder: Path) -> None:
        self.site = Site()
        config = ControlConfig(
            name="edge1", address="127.0.0.1", port=8400, work_dir=str(folder), kafka=Kafka([]),
            registry=Registry(""), tls=Tls("", "", ""), gateway_hosts=["edge1"], deploy_groups=("operators",),
        )  # fmt: skip
        self.app = App(config, self.site.deployer, CollectorRegistry(), "secret")
        self.peer = "edge1"
        self.client: httpx.Client

    def handle(self, request: Request) -> Awaitable[Response]:
        request.peer = self.peer
        return self.app.handle(request)

    def ask(self, method: str, path: str, headers: dict[str, str] = LOGIN, **options: Any) -> httpx.Response:
        return self.client.request(method, path, headers=headers, **options)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    control = Control(tmp_path)
    with (
        listening(control.handle, body=MAX_BODY) as (_, port, _loop),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as control.client,
    ):
        yield control


def test_deploy_look_and_remove(control: Control) -> None:
    assert control.ask("GET", "/deployments").json() == []
    answer = control.ask("PUT", "/deployments/iris", json={"version": "3"})
    assert answer.status_code == 200
    record = answer.json()
    assert (record["model"], record["version"], record["generation"], record["user"]) == (
        "iris",
        "3",
        1,
        "ada",
    )
    assert control.ask("GET", "/deployments").json() == [record]
    assert control.ask("GET", "/deployments/iris").json() == record
    assert control.ask("PUT", "/deployments/iris", json={"version": 4}).json()["version"] == "4"
    assert control.ask("DELETE", "/deployments/iris").json() == {"model": "iris", "version": None}
    assert control.ask("GET", "/deployments/iris").status_code == 404


def test_a_policy_is_changed_with_the_version_or_alone(control: Control) -> None:
    policy = {"deadline_seconds": 0.5, "batching": {"rows": 32}}
    answer = control.ask("PUT", "/deployments/iris", json={"version": 3, "policy": policy})
    kept = answer.json()["policy"]
    assert (kept["deadline_seconds"], kept["batching"]) == (0.5, {"rows": 32, "wait_seconds": 0.002})
    answer = control.ask("PUT", "/deployments/iris", json={"policy": {"batching": None, "queue": 7}})
    record = answer.json()
    assert (record["version"], record["generation"]) == ("3", 2)
    assert record["policy"] == kept | {"batching": None, "queue": 7}
    # A new version is served as the one before.
    record = control.ask("PUT", "/deployments/iris", json={"version": 4}).json()
    assert record["policy"]["queue"] == 7


def test_load_deploys_the_newest_version_and_unload_removes_it(control: Control) -> None:
    assert control.ask("POST", "/v2/repository/models/iris/load").status_code == 200
    assert control.ask("GET", "/deployments/iris").json()["version"] == "9"
    headers = LOGIN | {"x-millrace-group": "guests"}
    assert control.ask("POST", "/v2/repository/models/iris/unload", headers).status_code == 403
    body = {"parameters": {"unload_dependents": False}}
    assert control.ask("POST", "/v2/repository/models/iris/unload", json=body).status_code == 200
    assert control.ask("GET", "/deployments/iris").status_code == 404


def test_a_refusal_says_who_and_why(control: Control) -> None:
    control.site.two.refuses = "row 7 differs"
    answer = control.ask("PUT", "/deployments/iris", json={"version": "3"})
    assert answer.status_code == 409
    assert "node1:8502: row 7 differs" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("PUT", "/deployments/iris", b"{", 400, '{"version": "3"}'),
        ("PUT", "/deployments/iris", b"", 400, '{"version": "3"}'),
        ("PUT", "/deployments/iris", b'{"version": null}', 400, '{"version": "3"}'),
        ("PUT", "/deployments/iris", b"{}", 400, "neither version nor policy"),
        ("PUT", "/deployments/iris", b'{"policy": {"queue": 1}}', 404, "which version"),
        ("PUT", "/deployments/iris", b'{"version": 3, "policy": {"queue": -1}}', 400, "`$.queue`"),
        ("PUT", "/deployments/iris", b'{"version": 3, "policy": {"speed": 1}}', 400, "no speed"),
        ("PUT", "/deployments/iris", b'{"version": 3, "colour": "red"}', 400, "colour"),
        ("PUT", "/deployments/iris", b'{"version": "latest"}', 400, "whole number"),
        ("POST", "/v2/repository/models/iris/load", b"[]", 400, "not a JSON object"),
        ("POST", "/v2/repository/models/iris/load", b'{"parameters": {"config": "{}"}}', 400, "'config'"),
        ("POST", "/v2/repository/models/iris/load", b'{"parameters": 5}', 400, "not a JSON object"),
        ("POST", "/v2/repository/models/nobody/load", b"", 404, "no model 'nobody'"),
        ("POST", "/v2/repository/models/%20/load", b"", 400, "name"),
        ("POST", "/v2/repository/models/iris/unload", b"", 404, "not deployed"),
        ("GET", "/v2/repository/models/iris/load", b"", 405, "POST is"),
        ("POST", "/v2/repository/models/iris/else", b"", 404, "nothing"),
        ("PUT", "/deployments/iris", b'{"version": -1}', 400, "whole number"),
        ("PUT", "/deployments/iris", b"[" * 60_000, 400, '{"version": "3"}'),
        ("PUT", "/deployments/iris", b" " * 70_000, 413, "65536 bytes"),
        ("PUT", "/deployments/..%2fx", b'{"version": "3"}', 404, "nothing"),
        ("PUT", "/deployments/%20", b'{"version": "3"}', 400, "name"),
        ("PUT", "/deployments/-", b'{"version": "3"}', 400, "name"),
        ("PUT", "/deployments", b'{"version": "3"}', 405, "GET is"),
        ("POST", "/deployments/iris", b"{}", 405, "GET, PUT and DELETE are"),
        ("GET", "/deployments/iris", b"", 404, "not deployed"),
        ("DELETE", "/deployments/iris", b"", 404, "not deployed"),
        ("GET", "/deployments/iris/3", b"", 404, "nothing"),
        ("GET", "/", b"", 404, "nothing"),
    ],
)
def test_bad_requests(control: Control, method: str, path: str, body: bytes, status: int, words: str) -> None:
    answer = control.ask(method, path, content=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        (LOGIN | {"x-millrace-gateway": "guess"}, 403),
        ({k: v for k, v in LOGIN.items() if k != "x-millrace-user"}, 401),
    ],
)
def test_only_the_gateway_says_who_asks(control: Control, headers: dict[str, str], status: int) -> None:
    for method, path in (
        ("GET", "/deployments"),
        ("PUT", "/deployments/iris"),
        ("DELETE", "/deployments/iris"),
        ("POST", "/v2/repository/models/iris/load"),
    ):
        assert control.ask(method, path, headers, content=b'{"version": "3"}').status_code == status


def test_another_host_of_the_site_may_not_say_who_asks(control: Control) -> None:
    control.peer = "train1"
    assert control.ask("GET", "/deployments").status_code == 403
    assert control.ask("GET", "/health").json() == {"live": True}


def test_only_groups_that_may_deploy_change_something(control: Control) -> None:
    headers = LOGIN | {"x-millrace-group": "guests"}
    assert control.ask("GET", "/deployments", headers).status_code == 200
    for method in ("PUT", "DELETE"):
        answer = control.ask(method, "/deployments/iris", headers, content=b'{"version": "3"}')
        assert answer.status_code == 403
        assert "operators may" in answer.json()["error"]


def test_metrics_count_deployments_by_status(control: Control) -> None:
    control.ask("PUT", "/deployments/iris", json={"version": "3"})
    control.ask("PUT", "/deployments/iris", json={"version": "13"})
    lines = control.ask("GET", "/metrics").text.splitlines()
    assert 'millrace_deployments_total{status="200"} 1.0' in lines
    assert 'millrace_deployments_total{status="409"} 1.0' in lines
