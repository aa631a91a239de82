"""scikit-learn's models answer as bundles what scikit-learn answers, also for rows that are new."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from millrace.models import Bundle, OnnxModel, Tensor
from millrace.models.bundle import MODEL
from millrace.models.frameworks import CannotBundle, bundle_sklearn, edits
from millrace.models.tensors import DATATYPES


def frame(count: int = 300, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "size": random.normal(50, 20, count),
            "rooms": random.integers(1, 6, count),
            "city": random.choice(["Oslo", "Bonn", "Lima"], count),
        }
    )


def kinds(rows: pd.DataFrame) -> np.ndarray:
    return np.where((rows["size"] > 45) & (rows["city"] != "Lima"), "dear", "cheap")


def columns() -> ColumnTransformer:
    return ColumnTransformer([("n", StandardScaler(), ["size", "rooms"]), ("c", OneHotEncoder(), ["city"])])


def answers(bundle: Bundle, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return OnnxModel(bundle).run({name: rows[[name]].to_numpy() for name in rows.columns})


@pytest.mark.parametrize("last", [LogisticRegression(), RandomForestClassifier(20, random_state=1)])
def test_a_pipeline_over_named_columns(last: Any, tmp_path: Path) -> None:
    rows = frame()
    model = make_pipeline(columns(), last).fit(rows, kinds(rows))
    bundle = bundle_sklearn(model, rows, tmp_path / "bundle")
    assert bundle.inputs == (
        Tensor("size", "FP64", (-1, 1)),
        Tensor("rooms", "INT64", (-1, 1)),
        Tensor("city", "BYTES", (-1, 1)),
    )
    assert [(t.name, t.datatype, t.shape[0]) for t in bundle.outputs[:1]] == [("label", "BYTES", -1)]
    assert bundle.manifest.framework.startswith("scikit-learn ")
    others = frame(seed=9)
    got = answers(bundle, others)
    assert got["label"].tolist() == model.predict(others).tolist()
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(others), atol=1e-6)


@pytest.mark.parametrize(
    "model", [Ridge(), GradientBoostingRegressor(n_estimators=9), DecisionTreeRegressor(max_depth=5)]
)
def test_a_regression_over_a_matrix(model: Any, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(200, 3))
    model.fit(rows, rows[:, 0] * 3 - rows[:, 2])
    bundle = bundle_sklearn(model, rows, tmp_path / "bundle", most_rows=50)
    assert (bundle.inputs[0].name, bundle.inputs[0].shape, bundle.verification().rows) == ("X", (-1, 3), 50)
    got = OnnxModel(bundle).run({"X": rows})["prediction"]
    np.testing.assert_allclose(got.ravel(), model.predict(rows), rtol=1e-5, atol=1e-5)


def votes(bundle: Bundle) -> list[float]:
    """The weights in the leaves of a bundle's forest."""
    graph = onnx.load_from_string(bundle.read(MODEL)).graph
    (forest,) = (node for node in graph.node if node.op_type == "TreeEnsembleClassifier")
    (weights,) = (attribute.floats for attribute in forest.attribute if attribute.name == "class_weights")
    return list(weights)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_zeros_in_the_leaves_of_a_forest_change_no_bit(
    classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(classes)
    rows = random.normal(size=(300, 4)).astype(np.float32)
    # One class decides most rows alone, so some have no votes for the others at all.
    labels = np.where(rows[:, 0] > 0, random.integers(0, classes, 300), 0)
    model = RandomForestClassifier(20, random_state=1).fit(rows, labels)
    lean = bundle_sklearn(model, rows, tmp_path / "lean")
    monkeypatch.setattr(edits, "drop_zeros", lambda model: None)
    whole = bundle_sklearn(model, rows, tmp_path / "whole")
    assert (0.0 in votes(lean)) == (classes == 2)
    assert 0.0 in votes(whole)
    others = random.normal(size=(2000, 4)).astype(np.float32)
    ours, theirs = (OnnxModel(bundle).run({"X": others}) for bundle in (lean, whole))
    assert [ours[name].tobytes() for name in ("label", "probabilities")] == [
        theirs[name].tobytes() for name in ("label", "probabilities")
    ]
    assert 0.0 in ours["probabilities"]


def test_columns_of_numbers_reach_a_model_that_takes_a_matrix(tmp_path: Path) -> None:
    rows = frame()[["size", "rooms"]]
    model = DecisionTreeClassifier(max_depth=4).fit(rows, rows["rooms"] > 2)
    bundle = bundle_sklearn(model, rows, tmp_path / "bundle")
    assert [t.name for t in bundle.inputs] == ["size", "rooms"]
    got = answers(bundle, rows)["label"]
    assert got.astype(bool).tolist() == model.predict(rows).tolist()


def test_trees_compare_what_is_rounded_to_32_bits(tmp_path: Path) -> None:
    """scikit-learn's trees do; a double between two neighbouring floats must go the same way."""
    low = np.float32(1.0)
    high = np.nextafter(low, np.float32(2))
    model = DecisionTreeClassifier().fit(np.array([[low], [high]] * 5, np.float64), [0, 1] * 5)
    between = np.linspace(float(low) - 1e-7, float(high) + 1e-7, 41)[:, None]
    bundle = bundle_sklearn(model, np.array([[float(low)], [float(high)]]), tmp_path / "bundle")
    assert OnnxModel(bundle).run({"X": between})["label"].tolist() == model.predict(between).tolist()


def test_a_model_without_probabilities_gives_labels_alone(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(100, 2))
    for name, model in (("svc", LinearSVC().fit(rows, rows[:, 0] > 0)), ("k", KMeans(3, n_init=1).fit(rows))):
        bundle = bundle_sklearn(model, rows, tmp_path / name)
        assert [t.name for t in bundle.outputs] == ["label"]
        assert (bundle.inputs[0].datatype == "FP32") == (name == "svc")
        given = {"X": rows.astype(DATATYPES[bundle.inputs[0].datatype])}
        assert OnnxModel(bundle).run(given)["label"].ravel().tolist() == model.predict(rows).tolist()


def test_what_cannot_be_converted_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(100, 2))
    model = NearestCentroid().fit(rows, rows[:, 0] > 0)
    with pytest.raises(CannotBundle, match=r"cannot convert NearestCentroid .* Python bundle") as told:
        bundle_sklearn(model, rows, tmp_path / "bundle")
    assert len("".join(traceback.format_exception(told.value))) < 10_000
    numbers = frame()[["size", "rooms"]]
    tree = DecisionTreeClassifier().fit(numbers, kinds(frame()))
    with pytest.raises(CannotBundle, match="does not take these rows: The feature names should match"):
        bundle_sklearn(tree, numbers.rename(columns={"size": "area"}), tmp_path / "bundle")
    with pytest.raises(CannotBundle, match="StandardScaler has no predict"):
        bundle_sklearn(StandardScaler().fit(rows), rows, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_rows_that_do_not_fit_are_told(tmp_path: Path) -> None:
    rows = frame()
    model = make_pipeline(columns(), LogisticRegression()).fit(rows, kinds(rows))
    with pytest.raises(CannotBundle, match="no sample rows"):
        bundle_sklearn(model, rows.iloc[:0], tmp_path / "bundle")
    holes = rows.assign(city=rows["city"].where(rows["rooms"] > 1, None))
    with pytest.raises(CannotBundle, match="'city' holds None among text"):
        bundle_sklearn(model, holes, tmp_path / "bundle")
