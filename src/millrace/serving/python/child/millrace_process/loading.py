"""Loads a model's code: a class with `load` and `predict`, or an MLflow pyfunc."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Predict = Callable[[Arrays], Any]


def load(place: Path) -> Predict:
    """A function from arrays by name to arrays by name. Raises whatever the model's code raises."""
    entry = json.loads((place / "python.json").read_text())
    if entry["kind"] == "mlflow":
        import mlflow.pyfunc  # type: ignore[import-not-found, unused-ignore]

        return mlflow_predict(mlflow.pyfunc.load_model(str(place / "artifacts")))
    sys.path.insert(0, str(place / "code"))
    module, _, name = entry["entry"].partition(":")
    model = getattr(importlib.import_module(module), name)()
    model.load(place / "artifacts")
    return model.predict  # type: ignore[no-any-return]


def mlflow_predict(model: Any) -> Predict:
    """A pyfunc's predict as a function of arrays."""
    return lambda inputs: model.predict(given(inputs))


def given(inputs: Arrays) -> Any:
    """What a pyfunc takes: the only matrix as an array, columns as a data frame."""
    if len(inputs) == 1:
        (array,) = inputs.values()
        if array.ndim > 1 and array.shape[1:] != (1,):
            return array
    import pandas  # type: ignore[import-untyped, unused-ignore]

    return pandas.DataFrame({name: array[:, 0] for name, array in inputs.items()})


def named(answer: Any) -> Arrays:
    """Whatever a predict may return as arrays by name; a nameless answer is `prediction`."""
    if hasattr(answer, "columns"):
        return {str(name): plain(answer[name].to_numpy()) for name in answer.columns}
    if isinstance(answer, dict):
        return {str(name): plain(np.asarray(values)) for name, values in answer.items()}
    return {"prediction": plain(np.asarray(answer))}


def plain(array: np.ndarray) -> np.ndarray:
    """Objects that are all text, or all numbers, as such."""
    if array.dtype.kind != "O":
        return array.astype(object) if array.dtype.kind == "U" else array
    values = array.ravel().tolist()
    return array if all(isinstance(value, str) for value in values) else np.array(array.tolist())
