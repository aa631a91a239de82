"""Models to ask: inputs of every datatype, and a single input that takes bodies of bare bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from millrace.models import write_bundle
from millrace.models.tensors import DATATYPES

#: Inputs of the model `every` and their widths: name and datatype are the same word. gRPC types no FP16.
EVERY = {name: 2 if name == "FP32" else 1 for name in DATATYPES if name != "FP16"}
#: The width of X, the FP16 input of `wide`.
WIDE = 3


def write_models(folder: Path) -> Path:
    """A folder for `millrace serve` with `every` (each input is passed through) and `wide` (X is)."""
    _identity(folder / "every", {name: _values(name, width) for name, width in EVERY.items()})
    _identity(folder / "wide", {"X": _values("FP16", WIDE)})
    return folder


def _values(datatype: str, width: int) -> np.ndarray:
    flat = [f"ü{n}" if datatype == "BYTES" else n % 2 for n in range(2 * width)]
    return np.array(flat, DATATYPES[datatype]).reshape(2, width)


def _identity(path: Path, inputs: dict[str, np.ndarray]) -> None:
    def tensor(name: str, values: np.ndarray) -> object:
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        return helper.make_tensor_value_info(name, kind, [None, values.shape[1]])

    outputs = {f"{name}_out": values for name, values in inputs.items()}
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in inputs],
        path.name,
        [tensor(name, values) for name, values in inputs.items()],
        [tensor(name, values) for name, values in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    write_bundle(path, model, inputs, outputs, framework="none")
