"""PMML documents: by our own converter, or as they are; a document brings its answers, or its rows do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from millrace.models.bundle import Bundle
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.finish import finish
from millrace.models.frameworks.samples import MOST_ROWS, Rows, tensors, thinned

if TYPE_CHECKING:
    from millrace.models.pmml.document import Element


def bundle_pmml(
    document: str | os.PathLike[str] | bytes,
    path: str | os.PathLike[str],
    rows: Rows | None = None,
    *,
    framework: str | None = None,
    most_rows: int = MOST_ROWS,
    report: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """A bundle of a PMML document: of the runtime `onnx` if it can be converted exactly, else `pmml`.

    The answers are those of the program that trained the model, `framework`: the document carries them as
    ModelVerification, or `rows` have them beside the inputs, under the target's name, and under
    `probability(CLASS)` for each class. Only outputs that are answered are served.
    `report` is told which runtime it became, and why. The runtime `pmml` needs Java here, for the gate.
    Raises CannotBundle, FileExistsError, and VerificationFailed from the gate.
    """
    from millrace.models.frameworks.pmml4s import bundle_document
    from millrace.models.pmml import InvalidDocument, UnsupportedElement, answers, convert

    try:
        converted = convert(document)
        report("runtime onnx: the document was converted")
        columns = answers.embedded(converted) if rows is None else tensors(thinned(rows, most_rows))
        if columns is None:
            raise CannotBundle(
                "the document carries no ModelVerification: give sample rows with the answers of the program "
                f"that trained the model, in a column {converted.target!r}"
            )
        given = answers.outputs(converted, columns)
    except UnsupportedElement as error:
        report(f"runtime pmml, the document as it is, computed by PMML4S in a JVM: {error}")
        content = document if isinstance(document, bytes) else Path(document).read_bytes()
        return bundle_document(content, path, rows, framework=framework, most_rows=most_rows)
    except InvalidDocument as error:
        raise CannotBundle(str(error)) from error
    model = converted.model
    inputs = {
        value.name: _input(columns, value.name, value.type.tensor_type.elem_type == TensorProto.STRING)
        for value in model.graph.input
    }
    keep = [output for output in model.graph.output if output.name in given]
    given = {value.name: _answer(given[value.name], value.type.tensor_type.elem_type) for value in keep}
    del model.graph.output[:]
    model.graph.output.extend(keep)
    return finish(path, model, inputs, given, framework or application(converted.document))


def _input(columns: Mapping[str, np.ndarray], name: str, text: bool) -> np.ndarray:
    if name not in columns:
        raise CannotBundle(f"the sample rows have no column {name!r}, which the model reads")
    array = columns[name].reshape(-1, 1)
    if text:
        return array.astype(str).astype(object)
    try:
        return array.astype(np.float64)
    except ValueError as error:
        raise CannotBundle(f"the sample rows have text in {name!r}, a field of numbers: {error}") from error


def _answer(array: np.ndarray, element: int) -> np.ndarray:
    """ModelVerification holds text alone: as numbers where the output is one."""
    if element == TensorProto.STRING or array.dtype.kind != "O":
        return array
    try:
        return array.astype(np.float64)
    except ValueError as error:
        raise CannotBundle(
            f"the answers of the sample rows hold text where the model gives numbers: {error}"
        ) from error


def application(document: Element) -> str:
    """What the document's header says made it."""
    header = document.first("Header")
    made_by = header.first("Application") if header else None
    return f"{made_by.get('name')} {made_by.get('version', '')}".strip() if made_by else "PMML"
