"""The Spark converter against Spark's own answers, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.models.spark import ConversionError, UnsupportedStage, convert
from tests.unit.models.saved import NAMES, load, run


@pytest.mark.parametrize("name", NAMES)
def test_gives_what_spark_gives(name: str) -> None:
    saved = load(name)
    got = run(convert(saved.pipeline, types=saved.types), saved.inputs)
    assert set(got) - {"valid"} == set(saved.outputs)
    for column, expected in saved.outputs.items():
        answers = got[column][saved.answered]
        if "probability" in saved.outputs and column == "prediction":
            np.testing.assert_array_equal(answers, expected)
        else:
            np.testing.assert_allclose(answers, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["gbt_sets_skip", "forest_one_hot_all"])
def test_marks_the_rows_that_spark_drops(name: str) -> None:
    saved = load(name)
    got = run(convert(saved.pipeline), saved.inputs)
    assert not saved.answered.all()
    np.testing.assert_array_equal(got["valid"], saved.answered)


def test_fixtures_hold_splits_on_sets_of_categories() -> None:
    """Else the comparison above would not show that they are converted."""
    model = convert(load("gbt_sets_keep").pipeline)
    ensemble = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    assert "membership_values" in {attribute.name for attribute in ensemble.attribute}


def test_wants_no_column_that_answers_do_not_depend_on() -> None:
    """Above all not the label, though the pipeline indexes it."""
    model = convert(load("forest_three_kinds").pipeline)
    assert {i.name for i in model.graph.input} == {"city", "colour", "month", "length", "weight"}


def test_gives_the_outputs_asked_for() -> None:
    model = convert(load("gbt_sets_keep").pipeline, outputs=["probability"])
    assert [output.name for output in model.graph.output] == ["probability"]
    with pytest.raises(ConversionError, match=r"'score'.*'probability'"):
        convert(load("gbt_sets_keep").pipeline, outputs=["score"])


Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str, Change], Path]:
    """Copies a saved pipeline with the metadata of one stage changed."""

    def copy(name: str, kind: str, change: Change) -> Path:
        shutil.copytree(load(name).pipeline, tmp_path / "pipeline")
        (file,) = (tmp_path / "pipeline").glob(f"stages/*_{kind}_*/metadata/part-*")
        metadata = json.loads(file.read_text())
        change(metadata)
        file.write_text(json.dumps(metadata))
        return tmp_path / "pipeline"

    return copy


@pytest.mark.parametrize(
    "class_name",
    [
        "org.apache.spark.ml.classification.NaiveBayesModel",
        "com.example.ml.classification.GBTClassificationModel",
    ],
)
def test_refuses_an_unknown_stage_by_its_name(
    class_name: str, changed: Callable[[str, str, Change], Path]
) -> None:
    path = changed("gbt_sets_keep", "GBTClassifier", lambda m: m.update({"class": class_name}))
    with pytest.raises(UnsupportedStage, match=r"GBTClassifier_\w+") as refusal:
        convert(path)
    assert class_name in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "kind", "params", "told"),
    [
        ("gbt_sets_keep", "GBTClassifier", {"thresholds": [0.3, 0.7]}, "GBTClassifier_.*thresholds"),
        ("gbt_sets_keep", "GBTClassifier", {"leafCol": "leaf"}, "leafCol"),
        ("logistic_one_hot", "LogisticRegression", {"thresholds": [0.3, 0.7]}, "thresholds"),
        ("logistic_one_hot", "LogisticRegression", {"threshold": 0.3}, "threshold is 0.3"),
        ("gbt_sets_keep", "StringIndexer", {"handleInvalid": "guess"}, "handleInvalid='guess'"),
        ("gbt_sets_keep", "VectorAssembler", {"inputCols": ["month"]}, "GBTClassifier.*wants 5 features"),
    ],
)
def test_refuses_what_it_cannot_keep_exact(
    name: str, kind: str, params: dict[str, Any], told: str, changed: Callable[[str, str, Change], Path]
) -> None:
    path = changed(name, kind, lambda metadata: metadata["paramMap"].update(params))
    with pytest.raises(UnsupportedStage, match=told):
        convert(path)


def test_refuses_numbers_that_a_stage_reads_as_text() -> None:
    with pytest.raises(UnsupportedStage, match=r"declare it: types=\{'month': 'double'\}"):
        convert(load("gbt_sets_keep").pipeline, types={"month": "string"})


def test_tells_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no metadata"):
        convert(tmp_path)


def test_tells_a_pipeline_without_its_data(tmp_path: Path) -> None:
    shutil.copytree(load("gbt_sets_keep").pipeline, tmp_path / "pipeline")
    for data in (tmp_path / "pipeline").glob("stages/*_GBTClassifier_*/data"):
        shutil.rmtree(data)
    with pytest.raises(ConversionError, match="incomplete"):
        convert(tmp_path / "pipeline")


def test_tells_a_pipeline_that_predicts_nothing(tmp_path: Path) -> None:
    (indexer,) = load("gbt_sets_keep").pipeline.glob("stages/*_StringIndexer_*")
    with pytest.raises(ConversionError, match="no stage that predicts"):
        convert(indexer)
