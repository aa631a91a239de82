"""Control's own gate: what it verifies itself, and what it leaves to replicas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from millrace.control import gate
from millrace.control.deployer import Refused
from millrace.models.frameworks import bundle_python
from tests.unit.serving.bundles import make_bundle
from tests.unit.serving.pmml.documents import write

CODE = """
class Own:
    def load(self, path): pass
    def predict(self, inputs): return {"y": inputs["x"] * 2}
"""


def test_an_onnx_model_is_verified_before_a_replica_is_bothered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, wrong = make_bundle(tmp_path / "good"), make_bundle(tmp_path / "wrong", wrong=True)
    check = gate.Gate("", tmp_path, None)
    monkeypatch.setattr(gate, "fetch_bundle", lambda *_: good)
    assert check("tiny", "1") == good.digest
    monkeypatch.setattr(gate, "fetch_bundle", lambda *_: wrong)
    with pytest.raises(Refused, match="does not pass the gate"):
        check("tiny", "1")


def test_a_document_for_a_jvm_is_left_to_the_replicas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write(tmp_path / "bundle")
    # There is no sidecar where control runs.
    monkeypatch.setenv("MILLRACE_PMML_SOCKET", str(tmp_path / "none"))
    monkeypatch.setattr(gate, "fetch_bundle", lambda *_: bundle)
    assert gate.Gate("", tmp_path, None)("near", "1") == bundle.digest


def test_the_code_of_a_python_model_is_not_run_by_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(CODE)
    bundle = bundle_python("own:Own", tmp_path / "own.py", {"x": np.ones(2)}, tmp_path / "bundle")

    def forbidden(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("millrace.serving.python.launch.start", forbidden)
    monkeypatch.setattr(gate, "fetch_bundle", lambda *_: bundle)
    assert gate.Gate("", tmp_path, None)("own", "1") == bundle.digest
