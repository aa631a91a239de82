"""scikit-learn's histogram gradient boosting answers as a bundle what it answers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from millrace.models import Bundle, OnnxModel
from millrace.models.frameworks import CannotBundle, bundle_sklearn


def holes(rows: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(rows.shape) < 0.1, np.nan, rows)


def agrees(model: Any, bundle: Bundle, rows: Any, tolerance: float = 1e-12) -> None:
    """All labels are equal, and numbers within `tolerance`, relatively beyond 1."""
    given = {n: rows[[n]].to_numpy() for n in rows} if isinstance(rows, pd.DataFrame) else {"X": rows}
    got = OnnxModel(bundle).run(given)
    if "label" in got:
        assert got["label"].tolist() == model.predict(rows).tolist()
        got, expected = got["probabilities"], model.predict_proba(rows)
    else:
        got, expected = got["prediction"].ravel(), model.predict(rows)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def between(model: Any, rows: np.ndarray) -> np.ndarray:
    """Rows around each threshold of the model: it, and the doubles next to it."""
    made = []
    for tree in (tree for iteration in model._predictors for tree in iteration):
        for node in tree.nodes[tree.nodes["is_leaf"] == 0]:
            for direction in (-np.inf, None, np.inf):
                row = rows[len(made) % len(rows)].copy()
                value = node["num_threshold"]
                row[node["feature_idx"]] = value if direction is None else np.nextafter(value, direction)
                made.append(row)
    return np.array(made)


@pytest.mark.parametrize("missing", [False, True])
def test_two_classes(missing: bool, tmp_path: Path) -> None:
    rows, kinds = load_breast_cancer(return_X_y=True)
    rows = holes(rows) if missing else rows
    model = HistGradientBoostingClassifier().fit(rows, kinds)
    bundle = bundle_sklearn(model, rows, tmp_path / "bundle")
    assert [t.datatype for t in (*bundle.inputs, *bundle.outputs)] == ["FP64", "INT64", "FP64"]
    agrees(model, bundle, rows)
    agrees(model, bundle, holes(rows, 1))
    agrees(model, bundle, between(model, rows))


def test_floats_stay_floats(tmp_path: Path) -> None:
    rows, kinds = load_breast_cancer(return_X_y=True)
    rows = holes(rows).astype(np.float32)
    model = HistGradientBoostingClassifier(max_iter=20).fit(rows, kinds)
    bundle = bundle_sklearn(model, rows, tmp_path / "bundle")
    assert [t.datatype for t in (*bundle.inputs, *bundle.outputs)] == ["FP32", "INT64", "FP32"]
    agrees(model, bundle, rows, 1e-6)


def test_three_classes_with_names_over_columns(tmp_path: Path) -> None:
    rows, kinds = load_iris(return_X_y=True, as_frame=True)
    model = HistGradientBoostingClassifier(max_iter=30).fit(
        rows, np.array(["setosa", "versicolor", "virginica"])[kinds]
    )
    agrees(model, bundle_sklearn(model, rows, tmp_path / "bundle", most_rows=40), rows)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma", "quantile"])
def test_regressions(loss: str, tmp_path: Path) -> None:
    rows, numbers = load_diabetes(return_X_y=True)
    model = HistGradientBoostingRegressor(loss=loss, quantile=0.3, max_iter=40).fit(rows, numbers)
    bundle = bundle_sklearn(model, rows, tmp_path / "bundle")
    agrees(model, bundle, rows)
    agrees(model, bundle, holes(rows))
    agrees(model, bundle, between(model, rows))


def test_at_the_end_of_a_pipeline_over_columns(tmp_path: Path) -> None:
    rows, numbers = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    rows = rows.assign(sex=rows["sex"].map({1.0: "one", 2.0: "two"}), bmi=holes(rows["bmi"].to_numpy()))
    columns = ColumnTransformer(
        [
            ("scaled", StandardScaler(), ["age", "bp", "s1", "s2"]),
            ("as it is", "passthrough", ["bmi", "s5"]),
            ("category", OneHotEncoder(sparse_output=False), ["sex"]),
        ]
    )
    for name, last, target in (
        ("r", HistGradientBoostingRegressor(max_iter=40), numbers),
        ("c", HistGradientBoostingClassifier(max_iter=40), np.where(numbers > 140, "high", "low")),
    ):
        model = make_pipeline(columns, last).fit(rows, target)
        agrees(model, bundle_sklearn(model, rows, tmp_path / name), rows, 1e-9)


def categories() -> tuple[np.ndarray, np.ndarray]:
    """Diabetes with two columns of categories, whose numbers are neither in order nor without gaps."""
    rows, numbers = load_diabetes(return_X_y=True)
    random = np.random.default_rng(0)
    many = random.integers(0, 100, len(rows)) * 3
    few = random.choice([-3, 7, 1000, np.nan], len(rows))
    return np.column_stack([rows[:, :4], many, few]), numbers + many % 7 * 50 + np.nan_to_num(few) % 3 * 30


def test_categories_that_are_numbers(tmp_path: Path) -> None:
    rows, numbers = categories()
    model = HistGradientBoostingRegressor(categorical_features=[4, 5], max_iter=40).fit(rows, numbers)
    assert sum(tree.nodes["is_categorical"].sum() for (tree,) in model._predictors) > 20
    bundle = bundle_sklearn(model, rows, tmp_path / "bundle")
    agrees(model, bundle, rows)
    strange = np.vstack([rows] * 4)
    strange[:, 4] = np.resize([1, 5.5, -1, 300, 1e12, 2**32 + 3, np.nan, 0.3, 6, 9, 64], len(strange))
    strange[:, 5] = np.resize([7, 7.5, -3, -3.5, 1000, 1000.2, np.nan], len(strange))
    agrees(model, bundle, strange)


def test_categories_of_text_numbered_in_a_pipeline(tmp_path: Path) -> None:
    rows, numbers = load_diabetes(return_X_y=True, as_frame=True)
    towns = np.random.default_rng(0).choice(["Oslo", "Bonn", "Lima", "Rome"], len(rows))
    rows = rows[["bmi", "s5"]].assign(town=towns)
    target = numbers + np.char.str_len(towns) * 10 + (towns == "Lima") * 90
    columns = ColumnTransformer([("t", OrdinalEncoder(), ["town"]), ("n", "passthrough", ["bmi", "s5"])])
    last = HistGradientBoostingRegressor(categorical_features=[0], max_iter=30)
    model = make_pipeline(columns, last).fit(rows, target)
    agrees(model, bundle_sklearn(model, rows, tmp_path / "bundle"), rows)


def test_what_is_not_converted_is_named(tmp_path: Path) -> None:
    rows, numbers = load_diabetes(return_X_y=True, as_frame=True)
    towns = pd.Categorical(np.resize(["Oslo", "Bonn"], len(rows)))
    mixed = rows[["bmi"]].assign(town=towns)
    model = HistGradientBoostingRegressor(categorical_features="from_dtype", max_iter=2).fit(mixed, numbers)
    with pytest.raises(CannotBundle, match=r"Regressor was fitted with column 'town' .* OrdinalEncoder"):
        bundle_sklearn(model, mixed, tmp_path / "bundle")
    members = [
        ("h", HistGradientBoostingClassifier(max_iter=2)),
        ("f", RandomForestClassifier(2)),
    ]
    both = VotingClassifier(members, voting="soft", flatten_transform=False)
    both.fit(rows.to_numpy(), numbers > 140)
    with pytest.raises(CannotBundle, match="trees of another kind in one model"):
        bundle_sklearn(both, rows.to_numpy(), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
