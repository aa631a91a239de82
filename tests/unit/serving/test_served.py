"""A model under stress, over real sockets: deadline, queue, breaker, fallback, batching."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from millrace.models import Bundle, OnnxModel
from millrace.serving import runtimes
from millrace.serving.admission import Admission
from millrace.serving.policy import FallbackPolicy, Policy, changed
from millrace.serving.replica import Refused
from tests.unit.models import arithmetic
from tests.unit.serving.bundles import make_bundle, record_of
from tests.unit.serving.running import INFER, ROWS, Client, Running


class Moody:
    """ONNX Runtime that waits or fails when the test wants it to."""

    platform = "moody"
    inline = False

    def __init__(self, bundle: Bundle) -> None:
        self._model = OnnxModel(bundle)
        self.bundle = bundle
        self.go = threading.Event()
        self.go.set()
        self.broken = False
        self.spoilt_by = ""
        self.running = self.most = 0
        self.rows: list[int] = []
        self._lock = threading.Lock()

    def run(self, inputs: Any, outputs: Any = None, *, timeout: float | None = None) -> dict[str, Any]:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.rows.append(len(inputs["x"]))
        try:
            self.go.wait(10)
            if self.broken or (self.spoilt_by and self.spoilt_by in inputs["kind"]):
                raise RuntimeError("it does not feel like it")
            return self._model.run(inputs, outputs)
        finally:
            with self._lock:
                self.running -= 1

    def close(self) -> None: ...


class Stage:
    """A server whose model `tiny` is moody, and another model `steady` that is not."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Moody] = []
        self.moody = True
        monkeypatch.setitem(runtimes.RUNTIMES, "onnx", self._load)
        self.server = Running(folder)
        self.moody = False
        self.server.replica.apply("steady", record_of(self.server.two, "steady"))
        self._generation = 1

    def _load(self, bundle: Bundle) -> Any:
        if not self.moody:
            return OnnxModel(bundle)
        self.made.append(Moody(bundle))
        return self.made[-1]

    @property
    def model(self) -> Moody:
        return self.made[0]

    def policy(self, **changes: Any) -> None:
        """A new record, with the version that is live."""
        self._generation += 1
        record = record_of(self.server.bundle, generation=self._generation, policy=changed(Policy(), changes))
        self.server.replica.prepare(record)
        self.server.replica.apply("tiny", record)

    def ask(self, model: str = "tiny", rows: Any = ROWS, **more: Any) -> httpx.Response:
        return self.server.ask("POST", f"/v2/models/{model}/infer", json={"inputs": rows} | more)

    def together(self, count: int, then: Callable[[], None] = lambda: None) -> list[httpx.Response]:
        """So many requests at once; `then` is called while they are under way."""

        async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
            asked = [asyncio.create_task(client.post(INFER, json={"inputs": ROWS})) for _ in range(count)]
            await asyncio.sleep(0.3)
            then()
            return await asyncio.gather(*asked)

        answers: list[httpx.Response] = self.server.run(talk)
        return answers

    def metric(self, name: str, **labels: str) -> float:
        value = self.server.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    def outcome(self, outcome: str) -> float:
        return self.metric("millrace_inference_requests_total", model="tiny", version="1", outcome=outcome)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(tmp_path, monkeypatch)
    yield stage
    for moody in stage.made:
        moody.go.set()
    stage.server.end()


def test_a_late_model_is_answered_for_at_the_deadline(stage: Stage) -> None:
    stage.policy(deadline_seconds=0.2)
    stage.model.go.clear()
    began = time.monotonic()
    answer = stage.ask()
    assert answer.status_code == 504
    assert answer.json() == {"error": "model 'tiny' did not answer within 0.2 s"}
    assert 0.2 <= time.monotonic() - began < 5
    assert stage.ask("steady").status_code == 200
    stage.model.go.set()
    assert stage.ask().status_code == 200
    assert (stage.outcome("deadline"), stage.outcome("ok")) == (1, 1)


def test_a_model_that_is_late_on_the_event_loop_is_late_too(tmp_path: Path) -> None:
    policy = changed(Policy(), {"deadline_seconds": 1e-6})
    server = Running(tmp_path, policy)
    try:
        assert server.live().inline_rows
        answer = server.ask("POST", INFER, json={"inputs": ROWS})
        assert (answer.status_code, "did not answer within 1e-06 s" in answer.text) == (504, True)
    finally:
        server.end()


def test_more_calls_than_may_run_and_wait_are_put_off(stage: Stage) -> None:
    stage.policy(concurrency=2, queue=3)
    stage.model.go.clear()
    stage.model.most = 0
    states: list[tuple[float, float]] = []

    def then() -> None:
        names = ("millrace_inference_running", "millrace_inference_waiting")
        states.append((stage.metric(names[0], model="tiny"), stage.metric(names[1], model="tiny")))
        assert stage.server.ask("POST", "/v2/models/steady/infer", json={"inputs": ROWS}).status_code == 200
        stage.model.go.set()

    answers = stage.together(9, then)
    assert sorted(a.status_code for a in answers) == [200] * 5 + [503] * 4
    refused = next(a for a in answers if a.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert "'tiny' is busy with 2 calls and 3 wait" in refused.json()["error"]
    assert states == [(2, 3)]
    assert stage.model.most == 2
    assert stage.outcome("overloaded") == 4


def test_a_call_that_is_given_up_keeps_its_place_until_it_ends(stage: Stage) -> None:
    stage.policy(concurrency=1, queue=0, deadline_seconds=0.1, breaker=None)
    stage.model.go.clear()
    assert [stage.ask().status_code for _ in range(3)] == [504, 503, 503]
    stage.model.go.set()
    for _ in range(100):
        if stage.model.running == 0:
            break
        time.sleep(0.02)
    assert stage.ask().status_code == 200


def test_a_client_that_goes_away_gives_its_place_back(stage: Stage) -> None:
    stage.policy(concurrency=1, queue=1)
    stage.model.go.clear()

    body = json.dumps({"inputs": ROWS}).encode()
    # The first one runs, each of the others waits in the only place that there is.
    for _ in range(3):
        client = Client(stage.server.port)
        client.send(
            b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (INFER.encode(), len(body))
        )
        client.send(body)
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.receive(b"}")
        # Gone at once, and not only done with asking.
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    stage.model.go.set()
    assert [a.status_code for a in stage.together(2)] == [200, 200]


def test_a_model_that_fails_is_left_alone_and_tried_again(stage: Stage) -> None:
    stage.policy(breaker={"calls": 3, "share": 1, "open_seconds": 0.4})
    stage.model.broken = True
    answers = [stage.ask() for _ in range(5)]
    assert [a.status_code for a in answers] == [503] * 5
    assert "'tiny' is broken: it does not feel like it" in answers[0].json()["error"]
    assert "has failed too often" in answers[4].json()["error"]
    assert answers[4].headers["retry-after"] == "1"
    assert (stage.outcome("failed"), stage.outcome("open")) == (3, 2)
    assert stage.metric("millrace_breaker_state", model="tiny") == 2
    time.sleep(0.5)
    assert stage.ask().json()["error"].startswith("model 'tiny' is broken")
    assert "has failed too often" in stage.ask().json()["error"]
    stage.model.broken = False
    time.sleep(0.5)
    assert [stage.ask().status_code for _ in range(2)] == [200, 200]
    assert stage.metric("millrace_breaker_state", model="tiny") == 0


def test_rows_that_a_model_cannot_compute_do_not_open_its_breaker(stage: Stage) -> None:
    stage.policy(breaker={"calls": 2, "share": 0.5})
    stage.model.spoilt_by = "z"
    spoilt = [ROWS[0], ROWS[1] | {"data": ["a", "z"]}, ROWS[2]]
    for _ in range(5):
        assert stage.ask(rows=spoilt).status_code == 400
    assert stage.ask().status_code == 200


def test_a_turn_that_comes_to_who_has_left_goes_to_the_next() -> None:
    async def talk() -> list[bool]:
        admission = Admission("tiny", 1, 5)
        await admission.enter()
        first, second = (asyncio.create_task(admission.enter()) for _ in range(2))
        await asyncio.sleep(0)
        admission.leave()
        first.cancel()
        await asyncio.wait([first, second], timeout=1)
        return [first.cancelled(), second.done()]

    assert asyncio.run(talk()) == [True, True]


CONSTANT = {"score": 0.5, "label": "unknown", "number": -1}


def test_a_constant_answers_for_a_broken_model_and_says_so(stage: Stage) -> None:
    stage.policy(fallback={"constant": CONSTANT})
    assert "parameters" not in stage.ask().json()
    stage.model.broken = True
    answer = stage.ask(outputs=[{"name": "label"}, {"name": "score"}], id="7", parameters={"a": 1})
    assert answer.status_code == 200
    assert answer.headers["millrace-fallback"] == "constant"
    assert answer.json() == {
        "model_name": "tiny",
        "model_version": "1",
        "id": "7",
        "parameters": {"a": 1, "fallback": "constant", "fallback_reason": "failed"},
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2, 1], "data": ["unknown", "unknown"]},
            {"name": "score", "datatype": "FP64", "shape": [2, 1], "data": [0.5, 0.5]},
        ],
    }
    instances = {"instances": [{"x": 1.0, "kind": "a", "count": 1}]}
    answer = stage.server.ask("POST", "/v1/models/tiny:predict", json=instances)
    assert answer.json() == {
        "predictions": [{"score": [0.5], "label": ["unknown"], "number": [-1]}],
        "parameters": {"fallback": "constant", "fallback_reason": "failed"},
    }
    assert stage.outcome("fallback") == 2
    labels = {"model": "tiny", "version": "1", "reason": "failed"}
    assert stage.metric("millrace_inference_fallbacks_total", **labels) == 2


@pytest.mark.parametrize("reason", ["deadline", "overloaded", "open"])
def test_a_fallback_answers_for_every_reason(stage: Stage, reason: str) -> None:
    stage.policy(
        fallback={"constant": CONSTANT}, deadline_seconds=0.2, concurrency=1, queue=0, breaker={"calls": 1}
    )
    stage.model.go.clear()
    first = stage.ask()
    assert first.json()["parameters"]["fallback_reason"] == "deadline"
    if reason == "overloaded":
        stage.policy(fallback={"constant": CONSTANT}, concurrency=1, queue=0)
        answers = stage.together(2, stage.model.go.set)
        reasons = [a.json().get("parameters", {}).get("fallback_reason") for a in answers]
        assert sorted(reasons, key=str) == [None, "overloaded"]
    else:
        assert stage.ask().json()["parameters"]["fallback_reason"] == "open"


def test_bad_input_is_not_answered_by_a_fallback(stage: Stage) -> None:
    stage.policy(fallback={"constant": CONSTANT})
    assert stage.ask(rows=ROWS[1:]).status_code == 400


def test_another_version_answers(stage: Stage) -> None:
    policy = Policy(fallback=FallbackPolicy(version="2", digest=stage.server.two.digest))
    record = record_of(stage.server.bundle, generation=2, policy=policy)
    stage.server.replica.prepare(record)
    stage.server.replica.apply("tiny", record)
    stage.model.broken = True
    answer = stage.ask().json()
    assert (answer["model_version"], answer["outputs"][0]["data"]) == ("2", [3.0, 7.5])
    assert answer["parameters"]["fallback"] == "version 2"
    stage.server.replica.tick()
    assert stage.server.store.kept >= {stage.server.bundle.digest, stage.server.two.digest}


def test_another_model_answers_and_none_when_that_is_gone(stage: Stage) -> None:
    stage.policy(fallback={"model": "steady"})
    stage.model.broken = True
    answer = stage.ask().json()
    assert (answer["model_name"], answer["outputs"][0]["data"]) == ("tiny", [3.0, 7.5])
    assert answer["parameters"]["fallback"] == "model steady version 1"
    stage.server.replica.apply("steady", None)
    assert stage.ask().status_code == 503


@pytest.mark.parametrize(
    ("fallback", "words"),
    [
        ({"constant": {"score": 1.0}}, "no value for the output 'label'"),
        ({"constant": CONSTANT | {"else": 1}}, "'else', which is no output"),
        ({"constant": CONSTANT | {"score": "high"}}, "'high' for 'score', which is FP64"),
        ({"constant": CONSTANT | {"score": [1.0, 2.0]}}, "2 values for 'score', which has 1"),
        ({"constant": CONSTANT | {"number": 2**70}}, "out of the range of 'number'"),
        ({"model": "nobody"}, "'nobody', is not deployed"),
        ({"model": "tiny"}, "the model itself"),
        ({"model": "other"}, "other inputs"),
    ],
)
def test_a_fallback_that_could_not_stand_in_is_refused(
    stage: Stage, fallback: dict[str, Any], words: str, tmp_path: Path
) -> None:
    other = arithmetic.write(tmp_path / "other")
    stage.server.store.bundles[other.digest] = other
    stage.server.replica.apply("other", record_of(other, "other"))
    with pytest.raises(Refused, match=words):
        stage.policy(fallback=fallback)


def test_a_version_that_could_not_stand_in_is_refused(stage: Stage, tmp_path: Path) -> None:
    other = arithmetic.write(tmp_path / "other")
    stage.server.store.bundles[other.digest] = other
    policy = Policy(fallback=FallbackPolicy(version="7", digest=other.digest))
    with pytest.raises(Refused, match="version 7 takes other inputs"):
        stage.server.replica.prepare(record_of(stage.server.bundle, generation=2, policy=policy))


def test_requests_that_come_together_are_computed_together(stage: Stage) -> None:
    stage.policy(batching={"rows": 64, "wait_seconds": 0.2})
    stage.model.rows.clear()
    answers = stage.together(10)
    assert [a.json()["outputs"][0]["data"] for a in answers] == [[2.0, 5.0]] * 10
    assert sum(stage.model.rows) == 20
    assert len(stage.model.rows) < 10


def test_a_full_batch_does_not_wait(stage: Stage) -> None:
    stage.policy(batching={"rows": 4, "wait_seconds": 1.0})
    began = time.monotonic()
    stage.together(2)
    assert time.monotonic() - began < 1.0


def test_bad_rows_in_a_batch_spoil_only_their_own_request(stage: Stage) -> None:
    stage.policy(batching={"rows": 64, "wait_seconds": 0.2})
    stage.model.spoilt_by = "z"
    spoilt = [ROWS[0], ROWS[1] | {"data": ["a", "z"]}, ROWS[2]]

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        asked = [client.post(INFER, json={"inputs": rows}) for rows in (ROWS, spoilt, ROWS)]
        return await asyncio.gather(*asked)

    answers = stage.server.run(talk)
    assert [a.status_code for a in answers] == [200, 400, 200]
    assert answers[2].json()["outputs"][0]["data"] == [2.0, 5.0]


def test_rows_have_equal_bits_alone_and_in_company(tmp_path: Path) -> None:
    server = Running(tmp_path, policy=changed(Policy(), {"batching": {"rows": 64, "wait_seconds": 0.1}}))
    values = np.random.default_rng(1).normal(size=20)

    def body(value: float) -> dict[str, Any]:
        rows = [{"name": "x", "datatype": "FP64", "shape": [1], "data": [value]}]
        rows.append({"name": "kind", "datatype": "BYTES", "shape": [1], "data": ["a"]})
        rows.append({"name": "count", "datatype": "INT64", "shape": [1], "data": [1]})
        return {"inputs": rows}

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post(INFER, json=body(v)) for v in values.tolist()))

    try:
        together = [a.json()["outputs"][0]["data"][0] for a in server.run(talk)]
        alone = [server.ask("POST", INFER, json=body(v)).json()["outputs"][0]["data"][0] for v in values]
        assert together == alone == (values * 2).tolist()
    finally:
        server.end()


def test_models_beyond_the_limit_stay_on_the_disk_until_they_are_asked(tmp_path: Path) -> None:
    server = Running(tmp_path, loaded_models=2)
    try:
        for name, factor in (("a", 3.0), ("b", 4.0), ("c", 5.0)):
            bundle = make_bundle(tmp_path / name, factor)
            server.store.bundles[bundle.digest] = bundle
            record = record_of(bundle, name)
            server.replica.prepare(record)
            server.replica.apply(name, record)

        def loaded() -> set[str]:
            return {name for name in ("tiny", "a", "b", "c") if server.live(name).runtime}

        assert loaded() == {"b", "c"}
        assert server.ask("GET", "/v2/models/tiny").json()["platform"] == "onnxruntime_onnx"
        for name, score in (("a", 3.0), ("tiny", 2.0), ("a", 3.0), ("c", 5.0)):
            answer = server.ask("POST", f"/v2/models/{name}/infer", json={"inputs": ROWS})
            assert answer.json()["outputs"][0]["data"][0] == score
        assert loaded() == {"a", "c"}
        assert server.registry.get_sample_value("millrace_models_loaded") == 2
        assert server.registry.get_sample_value("millrace_models_known") == 4
    finally:
        server.end()
