"""What answers in the place of a model that cannot."""

from pathlib import Path
from typing import Any

import pytest

from millrace.serving.policy import FallbackPolicy, Policy
from millrace.serving.replica import Refused
from tests.unit.models import arithmetic
from tests.unit.serving.bundles import record_of
from tests.unit.serving.moody import Stage
from tests.unit.serving.running import ROWS

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
