"""ONNX models and saved Spark pipelines, with answers that came with the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from millrace.models import VerificationFailed
from millrace.models.frameworks import CannotBundle, MissingExtra, bundle_onnx, bundle_spark
from millrace.models.frameworks.extras import need
from tests.unit.models import arithmetic
from tests.unit.models.saved import load


def test_an_onnx_model_with_its_answers(tmp_path: Path) -> None:
    inputs, outputs = arithmetic.rows()
    (tmp_path / "model.onnx").write_bytes(arithmetic.model().SerializeToString())
    bundle = bundle_onnx(
        tmp_path / "model.onnx", inputs, {"total": outputs["total"]}, tmp_path / "bundle", framework="by hand"
    )
    assert ([t.name for t in bundle.outputs], bundle.manifest.framework) == (["total"], "by hand")


def test_answers_of_another_model_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    inputs, outputs = arithmetic.rows()
    with pytest.raises(VerificationFailed):
        bundle_onnx(
            arithmetic.model(), inputs, {"total": outputs["total"] + 1}, tmp_path / "b", framework="x"
        )
    with pytest.raises(CannotBundle, match="no output 'sum'"):
        bundle_onnx(arithmetic.model(), inputs, {"sum": outputs["total"]}, tmp_path / "b", framework="x")
    with pytest.raises(CannotBundle, match="no column for the input 'b'"):
        bundle_onnx(arithmetic.model(), {"a": inputs["a"]}, outputs, tmp_path / "b", framework="x")
    short = {"total": outputs["total"][1:]}
    with pytest.raises(CannotBundle, match="20 sample rows and 19 answers"):
        bundle_onnx(arithmetic.model(), inputs, short, tmp_path / "b", framework="x")
    with pytest.raises(CannotBundle, match="is no ONNX model"):
        bundle_onnx(__file__, inputs, outputs, tmp_path / "b", framework="x")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_spark_pipeline_with_its_answers(tmp_path: Path) -> None:
    saved = load("gbt_one_hot")
    answers = {name: saved.outputs[name] for name in ("prediction", "probability")}
    bundle = bundle_spark(saved.pipeline, saved.inputs, tmp_path / "bundle", answers=answers, most_rows=40)
    assert [t.name for t in bundle.outputs] == ["prediction", "probability"]
    assert bundle.verification().rows == 40
    answers["prediction"] = 1 - answers["prediction"]
    with pytest.raises(VerificationFailed, match="'prediction' differs"):
        bundle_spark(saved.pipeline, saved.inputs, tmp_path / "wrong", answers=answers)
    few = {name: values for name, values in saved.inputs.items() if name != "city"}
    with pytest.raises(CannotBundle, match="no column 'city'"):
        bundle_spark(saved.pipeline, few, tmp_path / "few", answers=answers)


def test_a_folder_that_is_no_pipeline_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotBundle, match="is no saved Spark model"):
        bundle_spark(tmp_path, {"a": np.zeros(1)}, tmp_path / "bundle")


def test_a_missing_library_is_named_with_the_command_that_brings_it() -> None:
    with pytest.raises(MissingExtra) as told:
        need("keras", "Bundling a Keras model", "no_such_module")
    assert str(told.value) == (
        "Bundling a Keras model needs no_such_module, which is not installed: pip install 'millrace[keras]'"
    )


def test_every_extra_that_is_named_exists() -> None:
    import re
    import tomllib

    root = Path(__file__).parents[4]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    sources = (root / "src/millrace").rglob("*.py")
    named = {name for file in sources for name in re.findall(r'need\(\s*"(\w+)"', file.read_text())}
    named |= {n for file in (root / "src/millrace").rglob("*.py")
              for n in re.findall(r"millrace\[(\w+)\]", file.read_text())}  # fmt: skip
    assert {"sklearn", "xgboost", "lightgbm", "keras", "torch", "spark"} <= named
    assert named <= set(extras)
