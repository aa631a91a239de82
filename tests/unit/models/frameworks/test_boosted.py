"""XGBoost's and LightGBM's models answer as bundles what they answer themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from millrace.models import Bundle, OnnxModel, VerificationFailed
from millrace.models.frameworks import CannotBundle, bundle_lightgbm, bundle_xgboost

RANDOM = np.random.default_rng(1)
ROWS = RANDOM.normal(size=(400, 4)).astype(np.float32)
HOLES = np.where(RANDOM.random(ROWS.shape) < 0.1, np.float32(np.nan), ROWS)
TWO = np.where(ROWS[:, 0] + ROWS[:, 1] ** 2 > 0.5, 1, 0)
THREE = np.digitize(ROWS[:, 0] + ROWS[:, 1], [-0.5, 0.5])
NUMBER = ROWS[:, 0] * 3 + ROWS[:, 2]


def run(bundle: Bundle, rows: np.ndarray) -> dict[str, np.ndarray]:
    return OnnxModel(bundle).run({"X": rows})


@pytest.mark.parametrize("target", [TWO, THREE])
@pytest.mark.parametrize(
    ("estimator", "make"),
    [
        (xgboost.XGBClassifier(n_estimators=12), bundle_xgboost),
        (lightgbm.LGBMClassifier(n_estimators=12, verbose=-1), bundle_lightgbm),
    ],
    ids=["xgboost", "lightgbm"],
)
def test_classifiers_with_missing_values(
    estimator: Any, make: Any, target: np.ndarray, tmp_path: Path
) -> None:
    model = estimator.fit(HOLES, target)
    bundle = make(model, HOLES, tmp_path / "bundle", most_rows=60)
    got = run(bundle, HOLES)
    assert got["label"].tolist() == model.predict(HOLES).tolist()
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(HOLES), atol=1e-5)


@pytest.mark.parametrize(
    ("estimator", "make", "named"),
    [
        (xgboost.XGBRegressor(n_estimators=12), bundle_xgboost, "XGBoost "),
        (lightgbm.LGBMRegressor(n_estimators=12, verbose=-1), bundle_lightgbm, "LightGBM "),
    ],
    ids=["xgboost", "lightgbm"],
)
def test_regressors_over_named_columns(estimator: Any, make: Any, named: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS.astype(np.float64), columns=["a", "b", "c", "d"])
    model = estimator.fit(frame, NUMBER)
    bundle = make(model, frame, tmp_path / "bundle")
    assert [(t.name, t.datatype) for t in bundle.inputs] == [(n, "FP32") for n in "abcd"]
    assert bundle.manifest.framework.startswith(named)
    got = OnnxModel(bundle).run({n: frame[[n]].to_numpy(np.float32) for n in frame})["prediction"]
    np.testing.assert_allclose(got.ravel(), model.predict(frame), rtol=1e-5, atol=1e-5)
    # The model is as it was: it still knows its columns.
    model.predict(frame)


def test_bare_boosters(tmp_path: Path) -> None:
    trained = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(ROWS, TWO), num_boost_round=5)
    got = run(bundle_xgboost(trained, ROWS, tmp_path / "x"), ROWS)
    np.testing.assert_allclose(got["probabilities"][:, 1], trained.predict(xgboost.DMatrix(ROWS)), atol=1e-6)
    booster = lightgbm.train(
        {"objective": "binary", "verbose": -1}, lightgbm.Dataset(ROWS, TWO), num_boost_round=5
    )
    got = run(bundle_lightgbm(booster, ROWS, tmp_path / "l"), ROWS)
    np.testing.assert_allclose(got["probabilities"][:, 1], booster.predict(ROWS), atol=1e-6)


def test_what_is_not_converted_is_named(tmp_path: Path) -> None:
    ranks = xgboost.train({"objective": "rank:pairwise"}, xgboost.DMatrix(ROWS, NUMBER), num_boost_round=2)
    with pytest.raises(CannotBundle, match="rank:pairwise is not converted"):
        bundle_xgboost(ranks, ROWS, tmp_path / "bundle")
    poisson = lightgbm.train(
        {"objective": "poisson", "verbose": -1}, lightgbm.Dataset(ROWS, np.abs(NUMBER)), num_boost_round=2
    )
    with pytest.raises(CannotBundle, match="'poisson' of LightGBM is not converted"):
        bundle_lightgbm(poisson, ROWS, tmp_path / "bundle")
    model = xgboost.XGBRegressor(n_estimators=2).fit(ROWS, NUMBER)
    with pytest.raises(CannotBundle, match="'city' is text"):
        bundle_xgboost(model, pd.DataFrame({"city": ["Oslo"]}), tmp_path / "bundle")


def test_the_gate_sees_a_conversion_that_loses_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = xgboost.XGBRegressor(n_estimators=12).fit(ROWS, NUMBER)
    shorter = xgboost.XGBRegressor(n_estimators=11).fit(ROWS, NUMBER)
    import onnxmltools

    convert = onnxmltools.convert_xgboost
    monkeypatch.setattr(onnxmltools, "convert_xgboost", lambda _, **options: convert(shorter, **options))
    with pytest.raises(VerificationFailed, match="'prediction' differs"):
        bundle_xgboost(model, ROWS, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
