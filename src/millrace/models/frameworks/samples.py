"""Sample rows in the forms that people have: a data frame, a matrix, or columns by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from millrace.models.frameworks.errors import CannotBundle

#: A pandas.DataFrame, an array [N, ...], or a mapping from names to arrays [N] or [N, ...].
Rows: TypeAlias = Any
#: So many verification rows are enough, if they are chosen well; taken evenly from more.
MOST_ROWS = 500


def is_frame(rows: Rows) -> bool:
    """Whether it is a data frame, without importing pandas."""
    return hasattr(rows, "columns") and hasattr(rows, "iloc")


def thinned(rows: Rows, most: int) -> Rows:
    """At most `most` of the rows, evenly taken. Raises CannotBundle when there is none."""
    count = row_count(rows)
    if count <= most:
        return rows
    chosen = np.linspace(0, count - 1, most).round().astype(np.int64)
    if is_frame(rows):
        return rows.iloc[chosen]
    if isinstance(rows, Mapping):
        return {name: np.asarray(values)[chosen] for name, values in rows.items()}
    return np.asarray(rows)[chosen]


def row_count(rows: Rows) -> int:
    """How many rows; raises CannotBundle when there is none, or when columns have different numbers."""
    if isinstance(rows, Mapping):
        counts = {name: len(values) for name, values in rows.items()}
        if len(set(counts.values())) > 1:
            raise CannotBundle(f"the columns of the sample rows have different lengths: {counts}")
        count = next(iter(counts.values()), 0)
    else:
        count = len(rows)
    if count == 0:
        raise CannotBundle("there are no sample rows: give some that look like what the model will be asked")
    return count


def tensors(rows: Rows, name: str = "X") -> dict[str, np.ndarray]:
    """The rows as inputs of a bundle: [N, 1] for every column, or one [N, ...] called `name` for an array.

    Numbers keep their type, text becomes objects of str.
    """
    if is_frame(rows):
        return {str(column): _column(str(column), rows[column].to_numpy()) for column in rows.columns}
    if isinstance(rows, Mapping):
        return {str(column): _column(str(column), np.asarray(values)) for column, values in rows.items()}
    array = np.asarray(rows)
    if array.ndim < 2:
        raise CannotBundle(f"sample rows have the shape {list(array.shape)}: rows come first, as in [N, 4]")
    return {name: _typed(name, array)}


def _column(name: str, values: np.ndarray) -> np.ndarray:
    typed = _typed(name, values)
    return typed[:, None] if typed.ndim == 1 else typed


def _typed(name: str, values: np.ndarray) -> np.ndarray:
    kind = values.dtype.kind
    if kind in "iub" or (kind == "f" and values.dtype.itemsize in (4, 8)):
        return values
    if kind == "f":
        return values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
    if kind in "OUT":
        return _objects(name, values)
    raise CannotBundle(f"column {name!r} has the type {values.dtype}: give numbers, truth values or text")


def _objects(name: str, values: np.ndarray) -> np.ndarray:
    listed = values.ravel().tolist()
    if all(isinstance(value, str) for value in listed):
        return values.astype(object)
    if all(isinstance(value, bool) for value in listed):
        return values.astype(np.bool_)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in listed):
        return values.astype(np.int64)
    wrong = next(value for value in listed if not isinstance(value, str))
    raise CannotBundle(
        f"column {name!r} holds {wrong!r} among text: a missing text has no place in ONNX, "
        "fill it with a word of its own before training"
    )
