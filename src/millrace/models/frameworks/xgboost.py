"""XGBoost, converted by onnxmltools."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from millrace.models.bundle import Bundle
from millrace.models.frameworks.boosted import bundle_boosted, numbers
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import need
from millrace.models.frameworks.samples import MOST_ROWS, Rows

_CONVERTED = {"binary:logistic", "multi:softprob", "multi:softmax", "reg:squarederror", "reg:logistic"}


def bundle_xgboost(
    model: Any, rows: Rows, path: str | os.PathLike[str], *, most_rows: int = MOST_ROWS
) -> Bundle:
    """A bundle of an XGBClassifier, XGBRegressor or Booster, with XGBoost's own answers for sample rows.

    Inputs are 32-bit numbers, as XGBoost compares: a column each for a DataFrame, else `X` [N, F]; NaN is a
    missing value. A classifier gives `label` and `probabilities`, a regressor `prediction`.
    Raises CannotBundle, MissingExtra, FileExistsError, and VerificationFailed from the gate.
    """
    (xgboost, onnxmltools) = need("xgboost", "Bundling an XGBoost model", "xgboost", "onnxmltools")
    if isinstance(model, xgboost.Booster):
        model = _wrapped(xgboost, model)
    inputs, matrix = numbers(rows, most_rows)
    # A model trained on named columns would refuse the matrix's f0, f1, ...
    booster = model.get_booster()
    kept, booster.feature_names = booster.feature_names, None
    try:
        if hasattr(model, "predict_proba"):
            answers = {"label": model.predict(matrix), "probabilities": model.predict_proba(matrix)}
        else:
            answers = {"prediction": np.asarray(model.predict(matrix))}
        return bundle_boosted(
            lambda types: onnxmltools.convert_xgboost(model, initial_types=types),
            inputs,
            answers,
            path,
            f"XGBoost {xgboost.__version__}",
        )
    finally:
        booster.feature_names = kept


def _wrapped(xgboost: Any, booster: Any) -> Any:
    """The scikit-learn class around a bare Booster, which knows what its answers mean."""
    import json

    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    if objective not in _CONVERTED:
        raise CannotBundle(
            f"the objective {objective} is not converted, only {', '.join(sorted(_CONVERTED))}"
        )
    classifies = objective.startswith(("binary:", "multi:"))
    model = xgboost.XGBClassifier() if classifies else xgboost.XGBRegressor()
    model.load_model(booster.save_raw("ubj"))
    return model
