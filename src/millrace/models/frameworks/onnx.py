"""A model that is ONNX already. It brings no framework, so its rows must bring the framework's answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import ModelProto, helper, load_model_from_string

from millrace.models.bundle import Bundle
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.finish import finish
from millrace.models.frameworks.samples import MOST_ROWS, Rows, row_count, tensors, thinned


def bundle_onnx(
    model: ModelProto | bytes | str | os.PathLike[str],
    rows: Rows,
    answers: Rows,
    path: str | os.PathLike[str],
    *,
    framework: str,
    most_rows: int = MOST_ROWS,
) -> Bundle:
    """A bundle of an ONNX model, or of the file that holds one.

    `rows` and `answers` have an array for each input and for each output that shall be served: a mapping, a
    DataFrame, or an array where there is but one. `answers` were given by `framework`, the program that
    trained the model, as in `PyTorch 2.9`; what ONNX Runtime computes proves nothing.
    Raises CannotBundle, FileExistsError, and VerificationFailed from the gate.
    """
    proto = _read(model)
    constants = {tensor.name for tensor in proto.graph.initializer}
    wanted = [value for value in proto.graph.input if value.name not in constants]
    if row_count(rows) != row_count(answers):
        raise CannotBundle(f"there are {row_count(rows)} sample rows and {row_count(answers)} answers")
    given = _by_name(rows, [value.name for value in wanted], most_rows, "input")
    inputs = {}
    for value in wanted:
        if value.name not in given:
            raise CannotBundle(f"the sample rows have no column for the input {value.name!r} of the model")
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        array = given[value.name]
        inputs[value.name] = array if array.dtype.kind == "O" else array.astype(dtype)
    given = _by_name(answers, [value.name for value in proto.graph.output], most_rows, "output")
    return finish(path, proto, inputs, given, framework)


def _read(model: ModelProto | bytes | str | os.PathLike[str]) -> ModelProto:
    if isinstance(model, ModelProto):
        return model
    try:
        return load_model_from_string(model if isinstance(model, bytes) else Path(model).read_bytes())
    except Exception as error:  # protobuf's errors, by whichever implementation is installed
        if isinstance(error, OSError):
            raise
        where = "the bytes are" if isinstance(model, bytes) else f"{os.fspath(model)} is"
        raise CannotBundle(f"{where} no ONNX model: {error}") from error


def _by_name(rows: Rows, names: list[str], most: int, kind: str) -> Mapping[str, np.ndarray]:
    if hasattr(rows, "columns") or isinstance(rows, Mapping):
        return tensors(thinned(rows, most))
    if len(names) > 1:
        raise CannotBundle(f"the model has several {kind}s ({', '.join(names)}): give columns by name")
    array = np.asarray(thinned(rows, most))
    return tensors({names[0]: array})
