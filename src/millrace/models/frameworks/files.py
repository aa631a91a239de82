"""Models and sample rows as files: what they are is told by their names and contents."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import need

KINDS = ("sklearn", "xgboost", "lightgbm", "keras", "torch", "spark", "pmml", "onnx", "python", "mlflow")
_BY_SUFFIX = {
    ".json": "xgboost",
    ".ubj": "xgboost",
    ".txt": "lightgbm",
    ".keras": "keras",
    ".h5": "keras",
    ".pt": "torch",
    ".pth": "torch",
    ".pt2": "torch",
    ".pmml": "pmml",
    ".xml": "pmml",
    ".onnx": "onnx",
    ".py": "python",
}
_PICKLES = (".joblib", ".pkl", ".pickle")


def kind_of(path: Path) -> str:
    """Which of KINDS a model's file or folder is; `pickle` for one that has to be opened to know.

    Raises CannotBundle.
    """
    if not path.exists():
        raise CannotBundle(f"there is no {path}")
    if path.is_dir():
        if (path / "metadata").is_dir():
            return "spark"
        if (path / "MLmodel").is_file():
            return "mlflow"
        if any(path.glob("*.py")):
            return "python"
        raise CannotBundle(
            f"{path} is no saved Spark PipelineModel (no metadata/), no MLflow model (no MLmodel), and "
            "holds no Python modules"
        )
    if path.suffix in _PICKLES:
        return "pickle"
    if path.suffix not in _BY_SUFFIX:
        known = ", ".join(sorted({*_BY_SUFFIX, *_PICKLES}))
        raise CannotBundle(f"{path} has none of the known endings ({known}): say --framework")
    return _BY_SUFFIX[path.suffix]


def read_pickle(path: Path) -> tuple[str, Any]:
    """The framework and the model of a pickle or joblib file, which must be of one's own: it runs code."""
    need("sklearn", f"Opening {path.name}", "joblib")
    import joblib  # type: ignore[import-not-found, import-untyped, unused-ignore]

    try:
        model = joblib.load(path)
    except ModuleNotFoundError as error:
        raise CannotBundle(f"{path} needs {error.name}, which is not installed here") from error
    except Exception as error:  # a pickle can fail in any way
        raise CannotBundle(f"{path} cannot be opened: {error}") from error
    return framework_of(model), model


def framework_of(model: Any) -> str:
    """Which of KINDS an object in memory is of. Raises CannotBundle."""
    known = {"sklearn", "xgboost", "lightgbm", "torch"}
    for kind in type(model).__mro__:
        package = kind.__module__.split(".")[0]
        if package in known:
            return package
        if package == "keras":
            return "keras"
    raise CannotBundle(f"{type(model).__name__} is of no known framework: a Python bundle holds any model")


def read_model(kind: str, path: Path) -> Any:
    """The model in a file of that framework's own format."""
    if kind == "xgboost":
        (xgboost,) = need("xgboost", "Opening an XGBoost model", "xgboost")
        return _opened(path, lambda: xgboost.Booster(model_file=os.fspath(path)))
    if kind == "lightgbm":
        (lightgbm,) = need("lightgbm", "Opening a LightGBM model", "lightgbm")
        return _opened(path, lambda: lightgbm.Booster(model_file=os.fspath(path)))
    if kind == "keras":
        (keras,) = need("keras", "Opening a Keras model", "keras")
        return _opened(path, lambda: keras.saving.load_model(os.fspath(path)))
    if kind == "torch":
        (torch,) = need("torch", "Opening a PyTorch model", "torch")
        if path.suffix == ".pt2":
            return _opened(path, lambda: torch.export.load(os.fspath(path)))
        model = _opened(path, lambda: torch.load(path, map_location="cpu", weights_only=False))
        if not isinstance(model, torch.nn.Module):
            raise CannotBundle(
                f"{path} holds weights alone: save the model with torch.export.save(torch.export.export(...))"
            )
        return model
    return path


def _opened(path: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # each framework has its own
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:300]
        raise CannotBundle(f"{path} cannot be opened: {reason}") from error


def read_rows(path: Path) -> Mapping[str, np.ndarray] | np.ndarray:
    """Sample rows: columns by name (.csv, .json, .parquet, .npz), or an array (.npy). Raises CannotBundle."""
    try:
        if path.suffix in (".npy", ".npz"):
            return _numpy(path)
        if path.suffix == ".parquet":
            (parquet,) = need("spark", "Reading parquet", "pyarrow.parquet")
            table = parquet.read_table(path)
            return {name: table[name].to_numpy() for name in table.column_names}
        if path.suffix == ".json":
            return _json_columns(json.loads(path.read_text()))
        if path.suffix == ".csv":
            with path.open(newline="") as file:
                return _csv_columns(list(csv.reader(file)))
    except OSError as error:
        raise CannotBundle(f"{path} is not readable: {error.strerror}") from error
    except ValueError as error:
        raise CannotBundle(f"{path} does not hold rows: {error}") from error
    raise CannotBundle(f"{path}: rows are read from .csv, .json, .parquet, .npy and .npz")


def _numpy(path: Path) -> dict[str, np.ndarray] | np.ndarray:
    """Arrays without objects: those would be pickles."""
    try:
        content = np.load(path, allow_pickle=False)
        return content if isinstance(content, np.ndarray) else {name: content[name] for name in content.files}
    except ValueError as error:
        raise ValueError("it is no file of numpy, or holds objects") from error


def _json_columns(content: Any) -> dict[str, np.ndarray]:
    """From a list of objects."""
    if not isinstance(content, list) or not content or not all(isinstance(row, dict) for row in content):
        raise ValueError("it must be a list of objects, column to value")
    for number, row in enumerate(content):
        if set(row) != set(content[0]):
            raise ValueError(f"row {number} has other columns than row 0")
    return {name: _typed([row[name] for row in content]) for name in content[0]}


def _csv_columns(lines: list[list[str]]) -> dict[str, np.ndarray]:
    """From lines with a header; a column of numbers has them in every cell, or nothing for a missing one."""
    if len(lines) < 2:
        raise ValueError("it needs a line of column names, and rows")
    header, *rows = lines
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} cells, the header {len(header)}")
    return {name: _parsed([row[i] for row in rows]) for i, name in enumerate(header)}


def _parsed(cells: list[str]) -> np.ndarray:
    for parse in (int, lambda cell: float(cell) if cell else float("nan")):
        try:
            return np.array([parse(cell) for cell in cells])
        except ValueError:
            continue
    return np.array(cells, object)


def _typed(values: list[Any]) -> np.ndarray:
    if all(isinstance(value, str) for value in values):
        return np.array(values, object)
    if any(value is None for value in values) and not any(isinstance(value, str) for value in values):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(values)
