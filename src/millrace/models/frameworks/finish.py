"""The last steps of every framework: answers in the model's own types, the bundle, the gate."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import ModelProto, helper

from millrace.models.bundle import Bundle, InvalidBundle, write_bundle
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.gate import verify


def finish(
    path: str | os.PathLike[str],
    model: ModelProto,
    inputs: Mapping[str, np.ndarray],
    answers: Mapping[str, np.ndarray],
    framework: str,
) -> Bundle:
    """Write the bundle and send it through the gate; nothing is left of one that does not pass.

    `answers` are the framework's own, by output; they take on type and shape of the model's outputs.
    Raises CannotBundle, FileExistsError, VerificationFailed.
    """
    outputs = {
        output.name: _as_declared(output.name, answers[output.name], output)
        for output in model.graph.output
        if output.name in answers
    }
    if lost := set(answers) - set(outputs):
        raise CannotBundle(
            f"the converted model has no output {sorted(lost)[0]!r}; it has "
            f"{', '.join(output.name for output in model.graph.output)}"
        )
    _check(path)
    try:
        bundle = write_bundle(path, model, inputs, outputs, framework=framework)
    except InvalidBundle as error:
        raise CannotBundle(f"the converted model does not fit its sample rows: {error}") from error
    checked(bundle)
    return bundle


def checked(bundle: Bundle) -> Bundle:
    """The bundle, if it passes the gate; its directory is removed if it does not."""
    try:
        verify(bundle)
    except BaseException:
        shutil.rmtree(bundle.path)
        raise
    return bundle


def _check(path: str | os.PathLike[str]) -> None:
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file: name a directory for the bundle")


def _as_declared(name: str, answer: np.ndarray, output: object) -> np.ndarray:
    """The answer in the datatype of the model's output, and with its number of dimensions."""
    tensor = output.type.tensor_type  # type: ignore[attr-defined]
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    array = np.asarray(answer)
    dimensions = len(tensor.shape.dim)
    if array.ndim == 1 and dimensions == 2:
        array = array[:, None]
    elif dimensions == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if dtype.kind in "OUS":
        return np.array([str(value) for value in array.ravel().tolist()], object).reshape(array.shape)
    if array.dtype.kind not in "fiub":
        raise CannotBundle(f"the framework answers {name!r} as {array.dtype}, the converted model as {dtype}")
    return array.astype(dtype)
