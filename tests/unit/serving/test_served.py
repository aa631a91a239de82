"""A model under stress, over real sockets: deadline, queue, breaker, and the limit of what is loaded."""

import asyncio
import json
import socket
import struct
import time
from pathlib import Path

import pytest

from millrace.serving.admission import Admission
from millrace.serving.policy import Policy, changed
from tests.unit.serving.bundles import make_bundle, record_of
from tests.unit.serving.moody import Stage
from tests.unit.serving.running import INFER, ROWS, Client, Running


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
