"""LightGBM, converted by onnxmltools."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from millrace.models.bundle import Bundle
from millrace.models.frameworks.boosted import bundle_boosted, numbers
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import named, need
from millrace.models.frameworks.samples import MOST_ROWS, Rows


def bundle_lightgbm(
    model: Any, rows: Rows, path: str | os.PathLike[str], *, most_rows: int = MOST_ROWS
) -> Bundle:
    """A bundle of an LGBMClassifier, LGBMRegressor or Booster, with LightGBM's own answers for sample rows.

    Inputs are 32-bit numbers: a column each for a DataFrame, else `X` [N, F]; NaN is a missing value, a
    category is its code. LightGBM itself compares 64-bit numbers, so its answers are those for the rounded
    rows. A classifier gives `label` and `probabilities`, a regressor `prediction`.
    Raises CannotBundle, MissingExtra, FileExistsError, and VerificationFailed from the gate.
    """
    (lightgbm, onnxmltools) = need("lightgbm", "Bundling a LightGBM model", "lightgbm", "onnxmltools")
    inputs, matrix = numbers(rows, most_rows)
    booster = model if isinstance(model, lightgbm.Booster) else model.booster_
    raw = np.asarray(booster.predict(matrix.astype(np.float64), validate_features=False))
    return bundle_boosted(
        lambda types: onnxmltools.convert_lightgbm(model, initial_types=types, zipmap=False),
        inputs,
        _answers(model, booster, raw),
        path,
        named("lightgbm", "LightGBM"),
    )


def _answers(model: Any, booster: Any, raw: np.ndarray) -> dict[str, np.ndarray]:
    """The booster's numbers as outputs: a bare one knows no labels, so its classes are 0, 1, ..."""
    objective = str(booster.params.get("objective", "")) or _objective(booster)
    objective = objective.split()[0]
    if objective.startswith(("multiclass", "softmax")):
        probabilities = raw
    elif objective == "binary":
        probabilities = np.stack([1 - raw, raw], axis=1)
    elif objective in ("regression", "regression_l1", "l1", "l2", "mse", "rmse", "huber", "mape", "fair"):
        return {"prediction": raw}
    else:
        raise CannotBundle(f"the objective {objective!r} of LightGBM is not converted")
    classes = np.asarray(getattr(model, "classes_", np.arange(probabilities.shape[1])))
    return {"label": classes[probabilities.argmax(axis=1)], "probabilities": probabilities}


def _objective(booster: Any) -> str:
    """The objective of a model read from a file, whose parameters are not kept."""
    lines = booster.model_to_string(num_iteration=1).splitlines()
    return next((line.split("=", 1)[1] for line in lines if line.startswith("objective=")), "")
