"""The SDK against a gateway with canned answers: what it asks, what it returns, and what its errors say."""

from __future__ import annotations

import traceback
import warnings
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import millrace
from millrace.models import VerificationFailed, write_bundle
from tests.unit.models import arithmetic
from tests.unit.web import Answers, serve

MODEL, INFER = "/v2/models/flights", "/v2/models/flights/infer"
SIGNATURE = {
    "name": "flights",
    "inputs": [
        {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "delay", "datatype": "FP64", "shape": [-1, 1]},
    ],
    "outputs": [],
}
ANSWER = {
    "model_name": "flights",
    "outputs": [
        {"name": "prediction", "datatype": "FP64", "shape": [2], "data": [0.0, 1.0]},
        {"name": "probability", "datatype": "FP64", "shape": [2, 2], "data": [0.9, 0.1, 0.2, 0.8]},
    ],
}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    for name in ("MILLRACE_CA", "MILLRACE_USER", "MILLRACE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with serve() as answers:
        monkeypatch.setenv("MILLRACE_GATEWAY", answers.url + "/")
        answers.set("GET", MODEL, SIGNATURE)
        answers.set("POST", INFER, ANSWER)
        yield answers


@pytest.mark.parametrize(
    "rows",
    [
        [{"carrier": "UA", "delay": 1.5}, {"delay": np.float64(40), "carrier": "AA"}],
        [["UA", 1.5], ("AA", np.int64(40))],
        pd.DataFrame({"delay": [1.5, 40.0], "carrier": ["UA", "AA"]}),
    ],
)
def test_predict_asks_by_column_and_answers_by_row(rows: list[millrace.sdk.Row], gateway: Answers) -> None:
    assert millrace.predict("flights", rows) == [
        {"prediction": 0.0, "probability": [0.9, 0.1]},
        {"prediction": 1.0, "probability": [0.2, 0.8]},
    ]
    assert gateway.requests[-1].json == {
        "inputs": [
            {"name": "carrier", "datatype": "BYTES", "shape": [2, 1], "data": ["UA", "AA"]},
            {"name": "delay", "datatype": "FP64", "shape": [2, 1], "data": [1.5, 40]},
        ]
    }


def test_predict_takes_an_input_of_several_values(gateway: Answers) -> None:
    gateway.set("GET", MODEL, {"inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 2, 2]}]})
    gateway.set("POST", INFER, {"outputs": [{"name": "digit", "shape": [1, 1], "data": [7]}]})
    assert millrace.predict("flights", [{"image": [1, 2, 3, 4]}]) == [{"digit": 7}]
    assert gateway.requests[-1].json["inputs"][0]["shape"] == [1, 2, 2]
    with pytest.raises(millrace.MillraceError, match="row 0 has 3 values for 'image', which takes 4"):
        millrace.predict("flights", [{"image": [1, 2, 3]}])


def test_a_missing_number_is_sent_as_null(gateway: Answers) -> None:
    millrace.predict("flights", pd.DataFrame({"delay": [1.5, np.nan], "carrier": ["UA", "AA"]}))
    assert gateway.requests[-1].json["inputs"][1]["data"] == [1.5, None]


@pytest.mark.parametrize("delays", [pd.array([1, None], "Int64"), [1, pd.NaT], [1, pd.NA]])
def test_what_pandas_takes_for_missing_is_sent_as_null(gateway: Answers, delays: Any) -> None:
    millrace.predict("flights", pd.DataFrame({"delay": delays, "carrier": ["UA", "AA"]}).astype(object))
    assert gateway.requests[-1].json["inputs"][1]["data"] == [1, None]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (["UA", pd.Timestamp(0)], "row 1 has a Timestamp for 'delay': give text, a number"),
        ({"carrier": "UA"}, "row 1 has no value for the column 'delay'"),
        (["UA"], "row 1 has no value for the column 'delay'"),
        (["UA", np.float64("-inf")], "row 1 has an infinite value for 'delay'"),
        ({"carrier": "UA", "delay": 1, "tail": 3}, "row 1 has 'tail'; 'flights' takes carrier, delay"),
        (["UA", 1, 3], "row 1 has 3; 'flights' takes carrier, delay"),
    ],
)
def test_predict_names_the_column_that_does_not_fit(
    row: millrace.sdk.Row, told: str, gateway: Answers
) -> None:
    with pytest.raises(millrace.MillraceError, match=told):
        millrace.predict("flights", [["UA", 1.5], row])


def test_predict_passes_on_what_the_server_refuses(gateway: Answers) -> None:
    gateway.set("POST", INFER, {"error": "input 'delay' is FP64"}, status=400)
    with pytest.raises(millrace.MillraceError, match="400: input 'delay' is FP64") as refusal:
        millrace.predict("flights", [["UA", "late"], ["AA", 1]])
    assert refusal.value.status == 400


def test_predict_warns_of_an_answer_that_is_not_the_models(gateway: Answers) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        millrace.predict("flights", [["UA", 1.5], ["AA", 40]])
    marks = {"fallback": "constant", "fallback_reason": "deadline"}
    gateway.set("POST", INFER, ANSWER | {"parameters": marks})
    told = r"the fallback of 'flights' answered in its place \(constant; deadline\)"
    with pytest.warns(millrace.FallbackWarning, match=told) as warned:
        assert len(millrace.predict("flights", [["UA", 1.5], ["AA", 40]])) == 2
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", millrace.FallbackWarning)
        with pytest.raises(millrace.FallbackWarning, match=told):
            millrace.predict("flights", [["UA", 1.5], ["AA", 40]])


def test_deploy_puts_the_version_and_returns_the_record(
    gateway: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_USER", "ada")
    monkeypatch.setenv("MILLRACE_PASSWORD", "secret")
    record = {"model": "flights", "version": "3", "digest": "sha256:0"}
    gateway.set("PUT", "/deployments/flights", record)
    assert millrace.deploy("flights", 3) == record
    assert gateway.requests[-1].json == {"version": "3"}
    assert gateway.requests[-1].headers["Authorization"] == "Basic " + b64encode(b"ada:secret").decode()


def test_deploy_puts_the_policy_beside_the_version(gateway: Answers) -> None:
    gateway.set("PUT", "/deployments/flights", {"version": "3"})
    millrace.deploy("flights", 3, {"fallback": {"version": "previous"}, "batching": None})
    assert gateway.requests[-1].json == {
        "version": "3",
        "policy": {"fallback": {"version": "previous"}, "batching": None},
    }


def test_deploy_takes_the_newest_version(gateway: Answers) -> None:
    query = "filter=name%3D%27flights%27&order_by=version_number+DESC&max_results=1"
    gateway.set(
        "GET", f"/api/2.0/mlflow/model-versions/search?{query}", {"model_versions": [{"version": "12"}]}
    )
    gateway.set("PUT", "/deployments/flights", {"version": "12"})
    millrace.deploy("flights")
    assert gateway.requests[-1].json == {"version": "12"}
    gateway.set("GET", f"/api/2.0/mlflow/model-versions/search?{query}", {})
    with pytest.raises(millrace.MillraceError, match=r"no model 'flights': register it") as refusal:
        millrace.deploy("flights")
    assert refusal.value.status == 404


def test_a_policy_alone_leaves_a_live_model_its_version(gateway: Answers) -> None:
    query = "filter=name%3D%27flights%27&order_by=version_number+DESC&max_results=1"
    gateway.set(
        "GET", f"/api/2.0/mlflow/model-versions/search?{query}", {"model_versions": [{"version": "12"}]}
    )
    gateway.set("PUT", "/deployments/flights", {"version": "3"})
    gateway.set("GET", "/deployments/flights", {"version": "3"})
    millrace.deploy("flights", policy={"deadline_seconds": 0.5})
    assert gateway.requests[-1].json == {"policy": {"deadline_seconds": 0.5}}
    gateway.set("GET", "/deployments/flights", {"error": "model 'flights' is not deployed"}, status=404)
    millrace.deploy("flights", policy={"deadline_seconds": 0.5})
    assert gateway.requests[-1].json == {"version": "12", "policy": {"deadline_seconds": 0.5}}
    gateway.set("GET", "/deployments/flights", {"error": "Kafka is away"}, status=503)
    with pytest.raises(millrace.MillraceError, match="Kafka is away"):
        millrace.deploy("flights", policy={"deadline_seconds": 0.5})


def test_deployment_is_the_record_or_none(gateway: Answers) -> None:
    record = {"model": "flights", "version": "3", "replicas": ["a", "b"]}
    gateway.set("GET", "/deployments/flights", record)
    assert millrace.deployment("flights") == record
    gateway.set("GET", "/deployments/flights", {"error": "model 'flights' is not deployed"}, status=404)
    assert millrace.deployment("flights") is None
    gateway.set("GET", "/deployments/flights", {"error": "Kafka is away"}, status=503)
    with pytest.raises(millrace.MillraceError, match="Kafka is away"):
        millrace.deployment("flights")


def test_undeploy_takes_the_model_away(gateway: Answers) -> None:
    gateway.set("DELETE", "/deployments/flights", {"model": "flights", "version": None})
    millrace.undeploy("flights")
    assert (gateway.requests[-1].method, gateway.requests[-1].path) == ("DELETE", "/deployments/flights")
    gateway.set("DELETE", "/deployments/flights", {"error": "model 'flights' is not deployed"}, status=404)
    with pytest.raises(millrace.MillraceError, match="not deployed") as refusal:
        millrace.undeploy("flights")
    assert refusal.value.status == 404


def test_deploy_tells_why_the_gate_refused(gateway: Answers) -> None:
    gateway.set("PUT", "/deployments/flights", {"error": "first is row 17"}, status=409)
    with pytest.raises(millrace.MillraceError, match="first is row 17") as refusal:
        millrace.deploy("flights", "3")
    assert refusal.value.status == 409


def test_errors_name_the_fix(gateway: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.set("PUT", "/deployments/flights", b"<html>", status=401)
    with pytest.raises(millrace.MillraceError, match="set MILLRACE_USER and MILLRACE_PASSWORD"):
        millrace.deploy("flights", "3")
    monkeypatch.setenv("MILLRACE_USER", "ada")
    monkeypatch.setenv("MILLRACE_PASSWORD", "no secret")
    with pytest.raises(millrace.MillraceError, match="refused the login of ada: ") as refusal:
        millrace.deploy("flights", "3")
    assert (refusal.value.status, "no secret" in str(refusal.value)) == (401, False)
    gateway.set("PUT", "/deployments/flights", b"<html>bad gateway", status=502)
    with pytest.raises(millrace.MillraceError, match="502: <html>bad gateway"):
        millrace.deploy("flights", "3")
    monkeypatch.setenv("MILLRACE_GATEWAY", "https://127.0.0.1:1")
    with pytest.raises(millrace.MillraceError, match=r"does not answer.*millrace status.*refused") as silence:
        millrace.predict("flights", [])
    assert "".join(traceback.format_exception(silence.value)).count("Traceback") == 1
    monkeypatch.delenv("MILLRACE_GATEWAY")
    with pytest.raises(millrace.MillraceError, match=r"millrace env.*notebook server"):
        millrace.predict("flights", [])


def test_log_model_refuses_what_does_not_reproduce_its_rows(tmp_path: Path) -> None:
    inputs, outputs = arithmetic.rows()
    outputs["label"][3] += 1
    bundle = write_bundle(tmp_path / "bundle", arithmetic.model(), inputs, outputs, framework="arithmetic")
    for given in (tmp_path / "bundle", bundle):
        with pytest.raises(VerificationFailed, match="row 3"):
            millrace.log_model(given, "sums")
