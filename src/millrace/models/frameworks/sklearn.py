"""scikit-learn, converted by skl2onnx."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto

from millrace.models.bundle import Bundle
from millrace.models.frameworks import edits, histogram
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import named, need
from millrace.models.frameworks.finish import finish
from millrace.models.frameworks.samples import MOST_ROWS, Rows, is_frame, tensors, thinned
from millrace.models.tensors import datatype_of

_OPSETS = {"": 17, "ai.onnx.ml": 3}


def bundle_sklearn(
    model: Any, rows: Rows, path: str | os.PathLike[str], *, most_rows: int = MOST_ROWS
) -> Bundle:
    """A bundle of a fitted estimator or pipeline, with scikit-learn's own answers for sample rows.

    `rows` is what the model was fitted on, or looks like it: a DataFrame becomes an input for each column, an
    array [N, F] the one input `X`. A classifier gives `label` [N] and, if it has them, `probabilities`
    [N, classes] in the order of `classes_`; a regressor `prediction`; a clusterer `label`.
    Raises CannotBundle, MissingExtra, FileExistsError, and VerificationFailed from the gate.
    """
    need("sklearn", "Bundling a scikit-learn model", "sklearn", "skl2onnx")
    if not hasattr(model, "predict"):
        raise CannotBundle(
            f"{type(model).__name__} has no predict: give the whole pipeline with its last step"
        )
    rows = thinned(rows, most_rows)
    if isinstance(rows, Mapping):
        (pandas,) = need("sklearn", "Rows with columns", "pandas")
        rows = pandas.DataFrame(dict(rows))
    try:
        return _bundle(model, rows, path)
    except CannotBundle:
        # skl2onnx converts some models for 32-bit numbers alone; they are answered as such, too.
        narrow = _in_floats(rows)
        if narrow is rows:
            raise
        return _bundle(model, narrow, path)


def _bundle(model: Any, rows: Rows, path: str | os.PathLike[str]) -> Bundle:
    inputs = {n: a.astype(np.int64) if a.dtype.kind in "iu" else a for n, a in tensors(rows).items()}
    answers = _answers(model, rows)
    converted = _convert(model, inputs, list(answers), by_column=is_frame(rows) and _takes_columns(model))
    if list(inputs) != [value.name for value in converted.graph.input] and "X" not in inputs:
        edits.join_columns(converted, inputs)
    return finish(path, converted, inputs, answers, named("scikit-learn"))


def _in_floats(rows: Rows) -> Rows:
    """The rows with 64-bit numbers rounded to 32; the same object when there are none."""
    if not is_frame(rows):
        array = np.asarray(rows)
        return array.astype(np.float32) if array.dtype == np.float64 else rows
    wide = [column for column in rows.columns if rows[column].dtype == np.float64]
    return rows.astype(dict.fromkeys(wide, np.float32)) if wide else rows


def _answers(model: Any, rows: Rows) -> dict[str, np.ndarray]:
    (base,) = need("sklearn", "Bundling", "sklearn.base")

    try:
        predicted = np.asarray(model.predict(rows))
    except Exception as error:  # a model raises what it likes
        reason = " ".join(str(error).split())[:400]
        raise CannotBundle(f"{type(model).__name__} does not take these rows: {reason}") from error
    if base.is_regressor(model):
        return {"prediction": predicted}
    if predicted.ndim > 1:
        raise CannotBundle("the model predicts several labels for a row: give a model for each of them")
    answers = {"label": predicted}
    if hasattr(model, "predict_proba"):
        answers["probabilities"] = np.asarray(model.predict_proba(rows))
    return answers


def _takes_columns(model: Any) -> bool:
    """Whether the first step chooses columns by their names."""
    first = model
    while hasattr(first, "steps"):
        first = first.steps[0][1]
    return hasattr(first, "transformers")


def _convert(model: Any, inputs: dict[str, np.ndarray], outputs: list[str], by_column: bool) -> ModelProto:
    skl2onnx, types = need("sklearn", "Bundling", "skl2onnx", "skl2onnx.common.data_types")

    kinds = {
        "FP32": types.FloatTensorType,
        "FP64": types.DoubleTensorType,
        "INT64": types.Int64TensorType,
        "BOOL": types.BooleanTensorType,
        "BYTES": types.StringTensorType,
    }
    histogram.refuse_categories(model)
    if by_column or "X" in inputs:
        arrays = inputs
    else:
        joined = np.result_type(*(array.dtype for array in inputs.values()))
        if joined.kind not in "fib":
            raise CannotBundle(
                "the sample rows mix text and numbers, and the model's first step is no ColumnTransformer "
                "that takes columns by name"
            )
        arrays = {"/rows": np.zeros((1, len(inputs)), joined if joined.kind == "f" else np.float64)}
    declared = [(name, kinds[datatype_of(array)]([None, *array.shape[1:]])) for name, array in arrays.items()]
    try:
        converted: ModelProto = skl2onnx.convert_sklearn(
            model,
            initial_types=declared,
            options={"zipmap": False} if "probabilities" in outputs else None,
            target_opset=_OPSETS,
            custom_conversion_functions=histogram.converters(),
        )
    except CannotBundle:
        raise
    except Exception as error:  # its converters raise whatever they like
        # What is around the cause may hold the whole model, tens of thousands of lines in a traceback.
        cause = error.__cause__ or error
        reason = _first_line(cause)
        if cause is not error:
            reason = f"{textwrap.shorten(_first_line(error), 60, placeholder='...')}: {reason}"
        raise CannotBundle(
            f"skl2onnx cannot convert {type(model).__name__} ({reason}): a Python bundle holds any model, "
            "see `millrace bundle --help`"
        ) from cause
    # skl2onnx declares the lowest that would do.
    for opset in converted.opset_import:
        opset.version = _OPSETS[""] if opset.domain == "" else opset.version
    histogram.declare_opset(converted)
    edits.open_rows(converted)
    edits.rename_outputs(converted, outputs)
    edits.floats_into_trees(converted)
    edits.drop_zeros(converted)
    return converted


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
