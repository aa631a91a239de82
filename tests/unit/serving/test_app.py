"""The prediction server over HTTP: paths, answers, limits."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from millrace.serving.app import App
from millrace.serving.config import Kafka, Registry, ServingConfig, Tls
from millrace.serving.follower import Away
from millrace.serving.inference import ModelVersion
from millrace.serving.metrics import ModelMetrics, ServingMetrics
from millrace.serving.protocol import Signature
from millrace.serving.replica import Replica
from millrace.serving.server import loader
from tests.unit.serving.bundles import make_bundle, record_of
from tests.unit.serving.test_replica import MemoryStore

ROWS = [
    {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.5]},
    {"name": "kind", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
    {"name": "count", "datatype": "INT64", "shape": [2], "data": [7, 8]},
]
INFER = "/v2/models/tiny/infer"


class Running:
    """An app with one model; `peer` is the common name that callers have."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.bundle = make_bundle(folder / "one")
        self.two = make_bundle(folder / "two", 3.0)
        self.store = MemoryStore({b.digest: b for b in (self.bundle, self.two)})
        metrics = ServingMetrics()
        self.replica = Replica(
            self.store, loader(metrics, 5000), lambda models: self.app.switch(models), 60, 60
        )
        config = ServingConfig(
            name="node1", address="127.0.0.1", port=8501, state_dir=str(folder), kafka=Kafka([]),
            registry=Registry(""), control_hosts=["edge1"], **changes,
        )  # fmt: skip
        registry = CollectorRegistry()
        metrics.generations = self.replica.generations
        metrics.ready = lambda: self.replica.ready
        registry.register(metrics)
        self.away = ""
        self.app = App(config, self.replica, metrics, registry, self._refresh)
        self.peer = "edge1"
        self.replica.reset({"tiny": record_of(self.bundle)})

    def _refresh(self, timeout: float) -> None:
        if self.away:
            raise Away(self.away)

    def run(self, talk: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = {"peer": self.peer}
            await self.app(scope, receive, send)

        async def go() -> Any:
            transport = httpx.ASGITransport(app=asgi)
            async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
                return await talk(client)

        return asyncio.run(go())

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.run(lambda client: client.request(method, path, **options))


@pytest.fixture
def server(tmp_path: Path) -> Running:
    return Running(tmp_path)


@pytest.mark.parametrize("path", [INFER, "/v2/models/tiny/versions/1/infer"])
def test_a_request_is_answered(server: Running, path: str) -> None:
    answer = server.ask("POST", path, json={"id": "a", "inputs": ROWS, "outputs": [{"name": "score"}]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "tiny",
        "model_version": "1",
        "id": "a",
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [2, 1], "data": [2.0, 5.0]}],
    }


def test_a_large_request_is_answered_as_its_rows_alone(server: Running) -> None:
    n = 4001
    rows = [
        {"name": "x", "datatype": "FP64", "shape": [n, 1], "data": [i / 8 for i in range(n)]},
        {"name": "kind", "datatype": "BYTES", "shape": [n, 1], "data": [f"k{i}" for i in range(n)]},
        {"name": "count", "datatype": "INT64", "shape": [n, 1], "data": list(range(n))},
    ]
    outputs = {
        o["name"]: o["data"] for o in server.ask("POST", INFER, json={"inputs": rows}).json()["outputs"]
    }
    assert outputs["score"] == [i / 4 for i in range(n)]
    assert outputs["label"] == rows[1]["data"]
    assert outputs["number"] == rows[2]["data"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True, "live": True}),
        ("/v2/models/tiny/ready", {"name": "tiny", "ready": True}),
        ("/v2/models/tiny/versions/1/ready", {"name": "tiny", "ready": True}),
    ],
)
def test_health(server: Running, path: str, content: dict[str, Any]) -> None:
    answer = server.ask("GET", path)
    assert (answer.status_code, answer.json()) == (200, content)


def test_metadata(server: Running) -> None:
    assert server.ask("GET", "/v2").json()["name"] == "millrace"
    for path in ("/v2/models/tiny", "/v2/models/tiny/versions/1"):
        assert server.ask("GET", path).json() == {
            "name": "tiny",
            "versions": ["1"],
            "platform": "onnxruntime_onnx",
            "inputs": [
                {"name": "x", "datatype": "FP64", "shape": [-1, 1]},
                {"name": "kind", "datatype": "BYTES", "shape": [-1, 1]},
                {"name": "count", "datatype": "INT64", "shape": [-1, 1]},
            ],
            "outputs": [
                {"name": "score", "datatype": "FP64", "shape": [-1, 1]},
                {"name": "label", "datatype": "BYTES", "shape": [-1, 1]},
                {"name": "number", "datatype": "INT64", "shape": [-1, 1]},
            ],
            "parameters": {"digest": server.bundle.digest},
        }
    index = server.ask("POST", "/v2/repository/index", json={}).json()
    assert index == [{"name": "tiny", "version": "1", "state": "READY", "reason": ""}]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/v2/models/nobody/infer", 404, "'nobody' is not deployed"),
        ("POST", "/v2/models/tiny/versions/9/infer", 404, "version 1 live, not 9"),
        ("POST", "/v2/models/tiny/else/infer", 404, "nothing"),
        ("POST", "/infer", 404, "nothing"),
        ("GET", "/v2/models/nobody", 404, "'nobody' is not deployed"),
        ("GET", "/v2/models/nobody/ready", 404, "'nobody' is not deployed"),
        ("GET", "/v2/models/tiny/versions/9", 404, "version 1 live, not 9"),
        ("GET", "/v2/models/tiny/versions/9/ready", 404, "version 1 live, not 9"),
        ("GET", "/v2/models", 404, "nothing"),
        ("GET", "/v2/models/", 404, "nothing"),
        ("GET", "/", 404, "nothing"),
        ("GET", "/v1/models/tiny:predict", 404, "nothing"),
        ("GET", "/replica/else", 404, "nothing"),
        ("GET", INFER, 405, "POST is"),
        ("PUT", INFER, 405, "POST is"),
        ("POST", "/v2/models/tiny", 405, "GET is"),
        ("DELETE", "/v2/health/live", 405, "GET is"),
        ("GET", "/v2/repository/index", 405, "POST is"),
    ],
)
def test_what_is_not_there(server: Running, method: str, path: str, status: int, words: str) -> None:
    answer = server.ask(method, path, content=b"{}")
    assert answer.status_code == status
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"content": b"{"}, 400, "not JSON"),
        ({"json": {"inputs": ROWS[1:]}}, 400, "'x' is missing"),
        ({"content": json.dumps({"inputs": [ROWS[0] | {"name": "\ud800"}]}).encode()}, 400, "surrogate"),
        ({"content": b"\x1f\x8b", "headers": {"content-encoding": "gzip"}}, 415, "gzip"),
        ({"content": b"{}....", "headers": {"inference-header-content-length": "2"}}, 400, "binary"),
        ({"content": b" " * 5_000_000}, 413, "4194304 bytes"),
    ],
)
def test_a_bad_request_is_told_and_the_next_is_answered(
    server: Running, options: dict[str, Any], status: int, words: str
) -> None:
    answer = server.ask("POST", INFER, **options)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert server.ask("POST", INFER, json={"inputs": ROWS}).status_code == 200


def test_rows_that_the_model_cannot_compute_are_the_senders_fault(server: Running) -> None:
    class Picky:
        platform = "picky"
        inline = True

        def run(self, inputs: Any, outputs: Any = None, *, timeout: float | None = None) -> dict[str, Any]:
            raise RuntimeError("no such category\nat a line of some source file")

        def close(self) -> None: ...

    signature = Signature(server.bundle.inputs, server.bundle.outputs)
    picky = ModelVersion("tiny", "1", server.bundle.digest, signature, Picky(), ModelMetrics(), 10)
    server.app.switch({"tiny": picky})
    answer = server.ask("POST", INFER, json={"inputs": ROWS})
    assert answer.status_code == 400
    assert answer.json() == {"error": "model 'tiny' cannot compute these rows: no such category"}


def test_many_large_bodies_at_once_are_put_off(tmp_path: Path) -> None:
    server = Running(tmp_path, max_pending_bytes=100_000)
    answer = server.ask("POST", INFER, content=b"{" + b" " * 200_000)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert server.ask("POST", INFER, content=b"{" + b" " * 90_000).status_code == 400
    assert server.ask("POST", INFER, content=b"{" + b" " * 90_000).status_code == 400


def test_no_request_fails_or_sees_a_mixture_while_versions_switch(server: Running) -> None:
    async def talk(client: httpx.AsyncClient) -> set[tuple[str, float]]:
        seen = set()
        body = {"inputs": ROWS}
        for generation in range(2, 42):
            bundle, version = (server.two, "2") if generation % 2 else (server.bundle, "1")
            switch = asyncio.to_thread(
                server.replica.apply, "tiny", record_of(bundle, version=version, generation=generation)
            )
            answers = await asyncio.gather(switch, *(client.post(INFER, json=body) for _ in range(10)))
            for answer in answers[1:]:
                assert answer.status_code == 200
                content = answer.json()
                seen.add((content["model_version"], content["outputs"][0]["data"][0]))
        return seen

    assert server.run(talk) == {("1", 2.0), ("2", 3.0)}


def test_draining_is_not_ready_but_answers(server: Running) -> None:
    server.app.draining = True
    assert server.ask("GET", "/v2/health/ready").json() == {"ready": False, "live": True}
    assert server.ask("GET", "/v2/health/ready").status_code == 503
    assert server.ask("POST", INFER, json={"inputs": ROWS}).status_code == 200


def test_metrics_count_by_model_version_and_outcome(server: Running) -> None:
    server.ask("POST", INFER, json={"inputs": ROWS})
    server.ask("POST", INFER, content=b"{")
    server.ask("POST", "/v2/models/nobody/infer", content=b"{}")
    lines = server.ask("GET", "/metrics").text.splitlines()
    for line in (
        'millrace_inference_requests_total{model="tiny",outcome="ok",version="1"} 1.0',
        'millrace_inference_requests_total{model="tiny",outcome="refused",version="1"} 1.0',
        'millrace_inference_seconds_count{model="tiny",version="1"} 2.0',
        'millrace_inference_unserved_total{reason="unknown_model"} 1.0',
        'millrace_deployment_generation{model="tiny"} 1.0',
        "millrace_replica_ready 1.0",
    ):
        assert line in lines


def test_control_prepares_and_abandons(server: Running) -> None:
    record = record_of(server.two, version="2", generation=2)
    assert server.ask("POST", "/replica/prepare", content=record.encode()).status_code == 200
    assert server.ask("GET", "/replica/status").json()["held"] == {"tiny": {"generation": 2}}
    abandon = {"model": "tiny", "generation": 2}
    assert server.ask("POST", "/replica/abandon", json=abandon).status_code == 200
    assert server.ask("GET", "/replica/status").json()["held"] == {}
    assert server.ask("POST", "/replica/prepare", content=b"{}").status_code == 400


def test_a_replica_that_would_not_hear_the_record_does_not_prepare(server: Running) -> None:
    server.away = "connection refused"
    answer = server.ask("POST", "/replica/prepare", content=record_of(server.two, version="2").encode())
    assert answer.status_code == 409
    assert "connection refused" in answer.json()["error"]


def test_nobody_but_control_prepares(tmp_path: Path) -> None:
    server = Running(tmp_path, tls=Tls("", "", ""))
    assert server.ask("GET", "/replica/status").status_code == 200
    server.peer = "train1"
    for method, path in (
        ("GET", "/replica/status"),
        ("POST", "/replica/prepare"),
        ("POST", "/replica/abandon"),
    ):
        assert server.ask(method, path, content=b"{}").status_code == 403
    assert server.ask("GET", "/v2/health/ready").status_code == 200
