"""What XGBoost and LightGBM have in common: a matrix of 32-bit numbers goes in, onnxmltools converts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import ModelProto

from millrace.models.bundle import Bundle
from millrace.models.frameworks import edits
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import need
from millrace.models.frameworks.finish import finish
from millrace.models.frameworks.samples import Rows, tensors, thinned

#: Takes initial types as onnxmltools has them.
Convert = Callable[[list[tuple[str, Any]]], ModelProto]


def numbers(rows: Rows, most: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Sample rows as inputs of 32-bit numbers, and the matrix [N, F] that they make.

    Raises CannotBundle for text: these models take numbers, categories by their codes.
    """
    inputs = tensors(thinned(rows, most))
    for name, array in inputs.items():
        if array.dtype.kind not in "fib":
            raise CannotBundle(
                f"column {name!r} is text, and the converted model takes numbers only: encode it before "
                "training, in a scikit-learn pipeline or as whole numbers"
            )
    inputs = {name: array.astype(np.float32) for name, array in inputs.items()}
    return inputs, np.concatenate(list(inputs.values()), axis=1)


def bundle_boosted(
    convert: Convert,
    inputs: dict[str, np.ndarray],
    answers: Mapping[str, np.ndarray],
    path: str | os.PathLike[str],
    framework: str,
) -> Bundle:
    """Convert, name the outputs as `answers` are, and finish."""
    (types,) = need("xgboost", "Bundling", "onnxmltools.convert.common.data_types")

    width = sum(array.shape[1] for array in inputs.values())
    name = "X" if list(inputs) == ["X"] else "/rows"
    try:
        model = convert([(name, types.FloatTensorType([None, width]))])
    except Exception as error:  # its converters raise whatever they like
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
        raise CannotBundle(f"onnxmltools cannot convert this {framework} model: {reason}") from error
    edits.open_rows(model)
    edits.rename_outputs(model, list(answers))
    if name != "X":
        edits.join_columns(model, inputs)
    return finish(path, model, inputs, answers, framework)
