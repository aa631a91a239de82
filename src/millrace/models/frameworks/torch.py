"""PyTorch, exported by its own exporter."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from millrace.models.bundle import Bundle
from millrace.models.frameworks import edits
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import named, need
from millrace.models.frameworks.finish import finish
from millrace.models.frameworks.samples import MOST_ROWS, Rows, tensors, thinned


def bundle_torch(
    model: Any,
    rows: Rows,
    path: str | os.PathLike[str],
    *,
    outputs: Sequence[str] = ("output",),
    most_rows: int = MOST_ROWS,
) -> Bundle:
    """A bundle of a torch.nn.Module or torch.export.ExportedProgram, with PyTorch's own answers.

    `rows` is an array [N, ...] for a model of one argument, else a mapping from the arguments' names to
    arrays, in their order, in the types that the model takes; N must not be fixed in an ExportedProgram.
    `outputs` names what it returns, a tensor or a tuple of them, each with the rows first.
    Raises CannotBundle, MissingExtra, FileExistsError, and VerificationFailed from the gate.
    """
    torch, _ = need("torch", "Bundling a PyTorch model", "torch", "onnxscript")
    sample = thinned(rows, most_rows)
    single = not isinstance(sample, Mapping)
    inputs = {"x": np.asarray(sample)} if single else {n: np.asarray(a) for n, a in sample.items()}
    exported = isinstance(model, torch.export.ExportedProgram)
    module = model.module() if exported else model
    if not exported:
        module.eval()
    names = _arguments(model, module, exported)
    if single and names:
        inputs = {names[0]: inputs["x"]}
    inputs = {name: array if array.ndim > 1 else array[:, None] for name, array in inputs.items()}
    arguments = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in inputs.values())
    try:
        with torch.no_grad():
            found = module(*arguments)
    except Exception as error:  # whatever the model raises
        raise CannotBundle(f"PyTorch cannot compute the sample rows: {_first_line(error)}") from error
    found = found if isinstance(found, (tuple, list)) else (found,)
    if len(found) != len(outputs):
        raise CannotBundle(f"the model returns {len(found)} tensors: name {len(found)} outputs")
    answers = {name: tensor.numpy() for name, tensor in zip(outputs, found, strict=True)}
    rows_dimension = torch.export.Dim("N", min=1)
    try:
        program = torch.onnx.export(
            model,
            arguments,
            dynamo=True,
            verbose=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=None if exported else tuple({0: rows_dimension} for _ in arguments),
        )
    except Exception as error:  # one of many, from the tracer to the exporter
        raise CannotBundle(f"PyTorch cannot export this model: {_first_line(error)}") from error
    proto = program.model_proto
    edits.rename_inputs(proto, list(inputs))
    edits.rename_outputs(proto, list(outputs))
    return finish(path, proto, tensors(inputs), answers, named("torch", "PyTorch"))


def _arguments(model: Any, module: Any, exported: bool) -> list[str]:
    if exported:
        return list(model.graph_signature.user_inputs)
    from inspect import Parameter, signature

    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in signature(module.forward).parameters.values() if p.kind in kinds]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
