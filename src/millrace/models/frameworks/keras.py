"""Keras 3 on any of its backends, exported by its own exporter."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import load_model

from millrace.models.bundle import Bundle
from millrace.models.frameworks import edits
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import named, need
from millrace.models.frameworks.finish import finish
from millrace.models.frameworks.samples import MOST_ROWS, Rows, tensors, thinned


def bundle_keras(
    model: Any,
    rows: Rows,
    path: str | os.PathLike[str],
    *,
    outputs: Sequence[str] = ("output",),
    most_rows: int = MOST_ROWS,
) -> Bundle:
    """A bundle of a Keras model, or of the `.keras` file that holds one, with Keras's own answers.

    `rows` is an array [N, ...] for a model of one input, else a mapping from the inputs' names to arrays.
    `outputs` names what the model gives, in order.
    Raises CannotBundle, MissingExtra, FileExistsError, and VerificationFailed from the gate.
    """
    (keras,) = need("keras", "Bundling a Keras model", "keras")
    # The converter of the backend in use.
    torch = keras.backend.backend() == "torch"
    need("torch" if torch else "keras", "Exporting a Keras model", "onnxscript" if torch else "tf2onnx")
    if isinstance(model, (str, os.PathLike)):
        model = keras.saving.load_model(os.fspath(model))
    sample = thinned(rows, most_rows)
    names = [value.name for value in model.inputs]
    if isinstance(sample, Mapping):
        if set(sample) != set(names):
            raise CannotBundle(f"the model's inputs are {', '.join(names)}, the rows' {', '.join(sample)}")
        arrays = {name: np.asarray(sample[name]) for name in names}
    elif len(names) == 1:
        arrays = {names[0]: np.asarray(sample)}
    else:
        raise CannotBundle(f"the model has several inputs: give rows as a mapping of {', '.join(names)}")
    for value in model.inputs:
        if value.dtype != "string":
            arrays[value.name] = arrays[value.name].astype(value.dtype)
    # On one batch, because the model must have been called before it is exported.
    found = model(list(arrays.values()) if len(arrays) > 1 else next(iter(arrays.values())), training=False)
    found = list(found.values()) if isinstance(found, dict) else found
    found = found if isinstance(found, (list, tuple)) else [found]
    if len(found) != len(outputs):
        raise CannotBundle(f"the model gives {len(found)} outputs: name {len(found)} of them")
    answers = {name: keras.ops.convert_to_numpy(tensor) for name, tensor in zip(outputs, found, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        try:
            model.export(str(file), format="onnx", verbose=False)
        except Exception as error:  # one of many, by backend
            reason = (str(error) or type(error).__name__).strip().splitlines()[0][:300]
            raise CannotBundle(f"Keras cannot export this model: {reason}") from error
        proto = load_model(file)
    edits.open_rows(proto)
    edits.rename_inputs(proto, list(arrays))
    edits.rename_outputs(proto, list(outputs))
    return finish(path, proto, tensors(arrays), answers, named("keras", "Keras"))
