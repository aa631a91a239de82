"""The journey of both models, as a person outside the site makes it: train, register, deploy, ask."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import requests

from millrace.cli import environments
from millrace.models import Bundle, OnnxModel, write_bundle
from tests.e2e.conftest import ROOT, millrace
from tests.site import checks
from tests.site.live import SITE
from tests.site.versions import register


@pytest.fixture(scope="session")
def gateway() -> requests.Session:
    """A session without a login: predictions need none."""
    return SITE.client(login=False)


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that the iris example trained and registered."""
    work = tmp_path_factory.mktemp("iris")
    millrace("train", "iris", "--keep", work)
    return work / "bundle"


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with `bundle`, the saved `pipeline` and Spark's own predictions of all rows."""
    work = tmp_path_factory.mktemp("flights")
    millrace("train", "flights", "--keep", work, "--all-rows", work / "spark.parquet")
    return work


def infer(session: requests.Session, model: str, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    answer = session.post(
        f"https://{SITE.gateway}/v2/models/{model}/infer", json={"inputs": inputs}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def expected_rows(bundle: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The bundle's verification rows: V2 inputs, and the outputs its training framework gave."""
    rows = json.loads((bundle / "verification.json").read_text())
    return rows["inputs"], rows["outputs"]


def assert_reproduces(session: requests.Session, model: str, bundle: Path) -> None:
    inputs, outputs = expected_rows(bundle)
    answer = {o["name"]: o for o in infer(session, model, inputs)["outputs"]}
    for want in outputs:
        got = answer[want["name"]]
        if want["datatype"].startswith("FP"):
            limit = 1e-9 if want["datatype"] == "FP64" else 1e-5
            np.testing.assert_allclose(
                np.array(got["data"]).ravel(), np.array(want["data"]).ravel(), rtol=0, atol=limit
            )
        else:
            assert got["data"] == want["data"]


def test_iris_answers_as_scikit_learn_did(gateway: requests.Session, iris: Path) -> None:
    millrace("deploy", "iris")
    assert_reproduces(gateway, "iris", iris)


def test_flights_answers_as_spark_did(gateway: requests.Session, flights: Path) -> None:
    millrace("deploy", "flights")
    assert_reproduces(gateway, "flights", flights / "bundle")


def test_converted_pipeline_equals_spark_on_every_row(flights: Path) -> None:
    table = pq.read_table(flights / "spark.parquet")
    assert table.num_rows == 327_346
    bundle = Bundle.load(flights / "bundle")
    kinds = {"FP64": np.float64, "BYTES": object}
    inputs = {
        t.name: np.array(table[t.name].to_pylist(), dtype=kinds[t.datatype]).reshape(-1, 1)
        for t in bundle.inputs
    }
    answer = OnnxModel(bundle).run(inputs, ["prediction", "probability"])
    labels = np.array(table["prediction"].to_pylist())
    shares = np.array(table["probability"].to_pylist())
    assert int((answer["prediction"].ravel() != labels).sum()) == 0
    assert float(np.abs(answer["probability"] - shares).max()) <= 1e-12


def test_predict_verb_answers_a_row(flights: Path) -> None:
    inputs, _ = expected_rows(flights / "bundle")
    row = json.dumps({i["name"]: i["data"][0] for i in inputs})
    assert "prediction" in millrace("predict", "flights", "--row", row).stdout


@pytest.fixture(scope="session")
def usual_bundle(flights: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same pipeline and rows, converted by onnxmltools in an environment of its own."""
    work = tmp_path_factory.mktemp("usual")
    python = environments.make("onnxmltools", work / "environment.log")
    script = ROOT / "tests/e2e/usual_converter.py"
    words = [python, script, flights / "pipeline", flights / "bundle", work / "bundle"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    # It converts with a Spark in its own process, not with the site's.
    del variables["SPARK_REMOTE"]
    run = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return Bundle.load(work / "bundle")


def test_gate_refuses_the_usual_converters_model(
    gateway: requests.Session, flights: Path, usual_bundle: Bundle
) -> None:
    version = register(usual_bundle, "flights")
    before = SITE.client().get(SITE.url("control", "/deployments/flights"), timeout=10).json()
    refused = millrace("deploy", f"flights:{version}", check=False)
    assert refused.returncode != 0
    assert "row" in refused.stdout + refused.stderr
    after = SITE.client().get(SITE.url("control", "/deployments/flights"), timeout=10).json()
    assert after == before
    assert_reproduces(gateway, "flights", flights / "bundle")


def test_gate_shows_the_first_differing_row(iris: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(iris)
    rows = bundle.verification()
    wrong = {name: array.copy() for name, array in rows.outputs.items()}
    labels = wrong["label"]
    labels[7] = next(label for label in labels if label != labels[7])
    written = write_bundle(
        tmp_path / "wrong",
        model=(iris / "model.onnx").read_bytes(),
        verification_inputs=rows.inputs,
        verification_outputs=wrong,
        framework=bundle.manifest.framework,
    )
    refused = millrace("deploy", f"iris:{register(written, 'iris')}", check=False)
    assert refused.returncode != 0
    assert "row 7" in refused.stdout + refused.stderr


@pytest.fixture
def load(gateway: requests.Session, iris: Path) -> Iterator[list[tuple[int, str]]]:
    """Four clients that ask iris all the time; the list collects (status, model version)."""
    inputs, _ = expected_rows(iris)
    body = {"inputs": [{**column, "shape": [1, 1], "data": column["data"][:1]} for column in inputs]}
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        session = SITE.client(login=False)
        while not stop.is_set():
            answer = session.post(f"https://{SITE.gateway}/v2/models/iris/infer", json=body, timeout=30)
            seen.append((answer.status_code, answer.json().get("model_version", answer.text)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield seen
    stop.set()
    for thread in threads:
        thread.join()


def test_no_request_fails_while_a_version_is_deployed(load: list[tuple[int, str]], iris: Path) -> None:
    version = register(Bundle.load(iris), "iris")
    millrace("deploy", f"iris:{version}")
    acknowledged = len(load)
    checks.wait_for("400 more answers", lambda: len(load) >= acknowledged + 400)
    assert {status for status, _ in load} == {200}
    # An answer that was under way at the acknowledgement may be of the version before: four clients.
    assert {v for _, v in load[acknowledged + 4 :]} == {version}


def test_environment_is_enough_for_foreign_clients(client_env: dict[str, str]) -> None:
    answer = requests.get(
        f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/registered-models/get",
        params={"name": "flights"},
        auth=(os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]),
        verify=os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"],
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
