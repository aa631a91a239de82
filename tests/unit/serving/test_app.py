"""The prediction server over HTTP: paths, answers, limits."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from millrace.serving.config import Tls
from tests.unit.serving.bundles import record_of
from tests.unit.serving.running import INFER, ROWS, Running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.end()


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


def one_row(x: float, kind: str, count: int) -> dict[str, Any]:
    values = {"count": count, "kind": kind, "x": x}
    types = {row["name"]: row["datatype"] for row in ROWS}
    return {
        "inputs": [
            {"name": name, "datatype": types[name], "shape": [1, 1], "data": [value]}
            for name, value in values.items()
        ]
    }


def test_single_rows_are_answered_one_after_the_other_and_a_wrong_one_between(server: Running) -> None:
    for number in (3, 2**63 - 1, 2**63, -(2**63), 4):
        v1 = {"instances": [{"x": 0.5, "kind": f"ü{number}", "count": number}]}
        asked = [server.ask("POST", INFER, json=one_row(0.5, f"ü{number}", number))]
        asked.append(server.ask("POST", "/v1/models/tiny:predict", json=v1))
        if number == 2**63:
            for answer in asked:
                assert answer.status_code == 400
                assert "'count' holds a number out of the range of INT64" in answer.json()["error"]
            continue
        outputs = {each["name"]: each["data"] for each in asked[0].json()["outputs"]}
        assert outputs == {"score": [1.0], "label": [f"ü{number}"], "number": [number]}
        assert asked[1].json()["predictions"] == [
            {"score": [1.0], "label": [f"ü{number}"], "number": [number]}
        ]


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
        ("/", {"status": "alive"}),
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
        ("GET", "/v2/models/tiny/else", 404, "nothing"),
        ("GET", "/v3", 404, "nothing"),
        ("GET", "/v1", 404, "nothing"),
        ("GET", "/v1/models/nobody", 404, "'nobody' is not deployed"),
        ("GET", "/v1/models/tiny/versions/9", 404, "version 1 live, not 9"),
        ("POST", "/v1/models/nobody:predict", 404, "'nobody' is not deployed"),
        ("POST", "/v1/models/tiny:explain", 404, "no 'explain'"),
        ("GET", "/v1/models/tiny:predict", 405, "POST is"),
        ("GET", "/v2/models/%ff", 400, "UTF-8"),
        ("GET", "/replica/else", 404, "nothing"),
        ("POST", "/v2/repository/models/tiny/load", 403, "ask the gateway"),
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
        ({"content": b"\x1f\x8b", "headers": {"content-encoding": "gzip"}}, 400, "gzip"),
        ({"content": b"{}", "headers": {"content-encoding": "br"}}, 415, "br, this server reads gzip"),
        (
            {"content": b'{"inputs": []}....', "headers": {"inference-header-content-length": "14"}},
            400,
            "4 bytes of binary",
        ),
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


def test_rows_that_the_model_cannot_compute_are_the_senders_fault(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = server.live().runtime
    assert runtime
    compute = runtime.run

    def run(inputs: Any, outputs: Any = None, **options: Any) -> dict[str, Any]:
        if "z" in inputs["kind"]:
            raise RuntimeError("no such category\nat a line of some source file")
        return compute(inputs, outputs, **options)

    monkeypatch.setattr(runtime, "run", run)
    rows = [ROWS[0], ROWS[1] | {"data": ["a", "z"]}, ROWS[2]]
    answer = server.ask("POST", INFER, json={"inputs": rows})
    assert answer.status_code == 400
    assert answer.json() == {"error": "model 'tiny' cannot compute these rows: no such category"}
    assert server.ask("POST", INFER, json={"inputs": ROWS}).status_code == 200


def test_many_large_bodies_at_once_are_put_off(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = Running(tmp_path, max_pending_bytes=100_000)
    request.addfinalizer(server.end)
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


def test_a_server_that_has_not_loaded_its_models_says_so(
    tmp_path: Path, request: pytest.FixtureRequest, server: Running
) -> None:
    server.store.away = {server.two.digest}
    server.replica.apply("other", record_of(server.two, "other"))
    answer = server.ask("POST", "/v2/models/other/infer", json={"inputs": ROWS})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert server.ask("POST", INFER, json={"inputs": ROWS}).status_code == 200


def test_a_trace_goes_on_with_a_span_of_the_server(server: Running) -> None:
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"traceparent": f"00-{trace}-{caller}-01"}
    for content in (json.dumps({"inputs": ROWS}), "{" + " " * 20_000):
        answer = server.ask("POST", INFER, content=content.encode(), headers=headers)
        version, given, span, flags = answer.headers["traceparent"].split("-")
        assert (version, given, flags) == ("00", trace, "01")
        assert span != caller
    for wrong in ("00-0-1-01", f"ff-{trace}-{caller}-01", f"00-{'0' * 32}-{caller}-01"):
        answer = server.ask("POST", INFER, json={"inputs": ROWS}, headers={"traceparent": wrong})
        assert "traceparent" not in answer.headers


def test_requests_are_logged_when_that_is_wanted(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Running(tmp_path, access_log=True)
    request.addfinalizer(server.end)
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    server.ask("POST", INFER, json={"inputs": ROWS}, headers=headers)
    server.ask("GET", "/nowhere")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["method"], first["path"], first["status"]) == ("POST", INFER, 200)
    assert first["trace"] == "0af7651916cd43dd8448eb211c80319c"
    assert 0 < first["seconds"] < 20
    assert (second["path"], second["status"], "trace" in second) == ("/nowhere", 404, False)


def test_statistics_count_rows_and_time(server: Running) -> None:
    for _ in range(3):
        server.ask("POST", INFER, json={"inputs": ROWS})
    server.ask("POST", INFER, content=b"{")
    for path in ("/v2/models/tiny/stats", "/v2/models/tiny/versions/1/stats", "/v2/models/stats"):
        (stats,) = server.ask("GET", path).json()["model_stats"]
        assert (stats["name"], stats["version"], stats["inference_count"]) == ("tiny", "1", 6)
        assert stats["execution_count"] == 3
        times = stats["inference_stats"]
        assert (times["success"]["count"], times["fail"]["count"]) == (3, 1)
        parts = ("queue", "compute_input", "compute_infer", "compute_output")
        assert 0 < sum(times[part]["ns"] for part in parts) <= times["success"]["ns"] + 10


def test_nobody_but_control_prepares(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = Running(tmp_path, tls=Tls("", "", ""))
    request.addfinalizer(server.end)
    for method, path in (
        ("GET", "/replica/status"),
        ("POST", "/replica/prepare"),
        ("POST", "/replica/abandon"),
    ):
        assert server.ask(method, path, content=b"{}").status_code == 403
    assert server.ask("GET", "/v2/health/ready").status_code == 200
