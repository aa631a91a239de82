"""Clients that people already have, unchanged, through the gateway with the site's CA."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from millrace.cli import environments
from tests.e2e.conftest import ROOT
from tests.site.versions import deploy, register, remove
from tests.unit.serving.bundles import make_bundle

MODEL = "e2e-clients"
CLIENTS = ROOT / "tests/e2e/clients"
RECORDS = [{"x": 1.0, "kind": "a", "count": 7}, {"x": 2.5, "kind": "ü", "count": 8}]
PREDICTIONS = [
    {"score": [2.0], "label": ["a"], "number": [7]},
    {"score": [5.0], "label": ["ü"], "number": [8]},
]


@pytest.fixture(scope="module", autouse=True)
def _model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A live model with inputs of three types; score is twice x."""
    bundle = make_bundle(tmp_path_factory.mktemp("model") / "bundle")
    answer = deploy(MODEL, register(bundle, MODEL))
    assert answer.status_code == 200, answer.text
    yield
    remove(MODEL)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of the environment that has the clients."""
    return environments.make("clients", tmp_path_factory.mktemp("clients") / "environment.log")


def run(python: Path, script: str, kind: str) -> dict[str, Any]:
    """What a client prints."""
    words = [python, CLIENTS / script, kind, MODEL]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("kind", ["json", "binary", "grpc"])
def test_tritonclient(python: Path, kind: str) -> None:
    assert run(python, "triton.py", kind) == {
        "live": True,
        "absent": False,
        "server": "millrace",
        "inputs": ["x", "kind", "count"],
        "indexed": True,
        "counted": True,
        "id": "r1",
        "label": ["a", "ü"],
        # No double holds it.
        "number": [[7], [2**53 + 1]],
        "score": [[2.0], [5.0]],
        "unasked": True,
        "refused": [
            "input 'kind' is missing, the model takes x, kind, count",
            "model 'nobody' is not deployed",
        ],
    }


@pytest.mark.parametrize("kind", ["v2", "binary"])
def test_kserve_v2(python: Path, kind: str) -> None:
    assert run(python, "kserve_sdk.py", kind) == {
        "live": True,
        "ready": True,
        "absent": False,
        "refused": "model 'nobody' is not deployed",
        "id": "r1",
        "model": MODEL,
        "score": [2.0, 5.0],
        "label": ["a", "ü"],
        "number": [7, 8],
    }


def test_kserve_v1(python: Path) -> None:
    assert run(python, "kserve_sdk.py", "v1") == {"live": True, "ready": True, "predictions": PREDICTIONS}


def test_kserve_grpc(python: Path) -> None:
    assert run(python, "kserve_sdk.py", "grpc") == {
        "live": True,
        "ready": True,
        "id": "r1",
        "model": MODEL,
        "score": [2.0, 5.0],
        "label": ["a", "ü"],
        "number": [7, 8],
    }


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"dataframe_records": RECORDS}, {"predictions": PREDICTIONS}),
        (
            {"dataframe_split": {"columns": list(RECORDS[0]), "data": [list(r.values()) for r in RECORDS]}},
            {"predictions": PREDICTIONS},
        ),
        ({"instances": RECORDS}, {"predictions": PREDICTIONS}),
        (
            {"inputs": {"x": [1.0, 2.5], "kind": ["a", "ü"], "count": [7, 8]}},
            {"outputs": {"score": [[2.0], [5.0]], "label": [["a"], ["ü"]], "number": [[7], [8]]}},
        ),
    ],
)
def test_plain_requests_as_mlflows_and_tensorflow_servings_users_write_them(
    body: dict[str, Any], answer: dict[str, Any]
) -> None:
    url = f"{os.environ['MILLRACE_GATEWAY']}/v1/models/{MODEL}:predict"
    got = requests.post(url, json=body, verify=os.environ["MILLRACE_CA"], timeout=30)
    assert (got.status_code, got.json()) == (200, answer)
