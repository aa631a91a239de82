"""PMML documents that the converter refuses, as they are: PMML4S computes them in a JVM."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from millrace.models.bundle import DOCUMENT, Bundle, InvalidBundle, write_files
from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.finish import checked
from millrace.models.frameworks.samples import MOST_ROWS, Rows, is_frame, tensors, thinned
from millrace.models.pmml import InvalidDocument, answers
from millrace.models.pmml.document import Element, read
from millrace.models.pmml.fields import read_fields


@dataclass(frozen=True)
class _Meaning:
    target: str
    classes: Sequence[str]
    document: Element


def bundle_document(
    content: bytes,
    path: str | os.PathLike[str],
    rows: Rows | None = None,
    *,
    framework: str | None = None,
    most_rows: int = MOST_ROWS,
) -> Bundle:
    """A bundle of the runtime `pmml`, with the answers that `bundle_pmml` tells of.

    An empty text and NaN are missing values, of which the document says what becomes. The output `valid`
    [N] is false for rows to which it has no answer: their label is empty (0 for numbers), their numbers NaN.
    Other output fields of the document are served under their names if they are answered.
    Raises CannotBundle, FileExistsError, and VerificationFailed from the gate.
    """
    from millrace.models.frameworks.pmml import application
    from millrace.serving.pmml.attached import Described, Refused, describe
    from millrace.serving.pmml.model import START_SECONDS, outputs_of
    from millrace.serving.pmml.program import NoProgram
    from millrace.serving.pmml.sidecar import connector

    try:
        content.decode()
        root = read(content)
        described: Described = describe(connector(), content, START_SECONDS)
    except UnicodeDecodeError:
        raise CannotBundle("the document is not in UTF-8: `iconv -t UTF-8` makes it so") from None
    except (InvalidDocument, NoProgram) as error:
        raise CannotBundle(str(error)) from error
    except Refused as error:
        raise CannotBundle(f"the document cannot be served: {error}") from error
    except (EOFError, OSError) as error:
        raise CannotBundle(f"the PMML4S sidecar did not answer: {error or type(error).__name__}") from error
    meaning = _Meaning(described.target, _classes(described.target, described.classes, root), root)
    gives = outputs_of(described)
    try:
        columns = answers.embedded(meaning, gaps=True) if rows is None else tensors(_filled(rows, most_rows))
        if columns is None:
            raise CannotBundle(
                "the document carries no ModelVerification: give sample rows with the answers of the program "
                f"that trained the model, in a column {described.target or described.main!r}"
            )
        given = _others([name for name, _ in described.others], columns)
        try:
            given = {**answers.outputs(meaning, columns), **given}
        except InvalidDocument:
            if not given:
                raise
        outputs = {name: _answer(name, given[name], *gives[name]) for name in gives if name in given}
        outputs["valid"] = ~_missing(given[next(iter(given))])
        inputs = {name: _input(columns, name, datatype) for name, datatype in described.inputs}
    except KeyError as error:
        raise CannotBundle(f"the sample rows have no column {error}, which the model reads") from None
    except (InvalidDocument, ValueError) as error:
        raise CannotBundle(str(error)) from error
    made_by = framework or application(root)
    try:
        return checked(write_files(path, "pmml", {DOCUMENT: content}, inputs, outputs, framework=made_by))
    except InvalidBundle as error:
        raise CannotBundle(str(error)) from error


def _classes(target: str, found: Sequence[str], root: Element) -> Sequence[str]:
    """As the document writes them: 1, where PMML4S says 1.0."""
    field = read_fields(root).get(target)
    return field.values if field and len(field.values) == len(found) else found


def _others(names: Sequence[str], columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Answers in further output fields, whose names do not mean something else."""
    return {
        name: columns[name]
        for name in names
        if name in columns and name not in ("label", "prediction", "probabilities", "valid")
    }


def _filled(rows: Rows, most: int) -> dict[str, np.ndarray]:
    """At most so many rows as columns, with an empty text for what is missing among text."""
    chosen = thinned(rows, most)
    if not is_frame(chosen) and not isinstance(chosen, Mapping):
        raise CannotBundle("a PMML document's rows need columns by name")
    columns = {}
    for name in chosen:
        column = np.array(chosen[name])
        if column.dtype.kind == "O" and any(isinstance(value, str) for value in column.flat):
            # What is missing may be None or NaN, which alone is not equal to itself.
            column[[value is None or value != value for value in column.flat]] = ""
        columns[str(name)] = column
    return columns


def _input(columns: Mapping[str, np.ndarray], name: str, datatype: str) -> np.ndarray:
    column = columns[name].reshape(-1, 1)
    if datatype == "FP64":
        return _numbers(name, column)
    return _text(column)


def _answer(name: str, answer: np.ndarray, datatype: str, shape: tuple[int, ...]) -> np.ndarray:
    """In the type and shape of the output; what is missing is empty, NaN, or the number 0."""
    if datatype == "BYTES":
        array = np.where(_missing(answer).reshape(answer.shape), "", _text(answer)).astype(object)
    else:
        array = _numbers(name, answer)
        if datatype == "INT64":
            array = np.nan_to_num(array).astype(np.int64)
    return array.reshape(-1, *shape[1:])


def _missing(answer: np.ndarray) -> np.ndarray:
    """For each row [N], whether it has no answer."""
    rows = answer.reshape(len(answer), -1)
    if rows.dtype.kind == "f":
        return np.isnan(rows).any(axis=1)
    return np.array([any(value == "" for value in row) for row in rows], bool)


def _text(array: np.ndarray) -> np.ndarray:
    """As PMML writes it: truth values in small letters."""
    text = array.astype(str)
    return (np.char.lower(text) if array.dtype.kind == "b" else text).astype(object)


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    try:
        return answers.numbers(array)
    except ValueError as error:
        raise CannotBundle(f"the sample rows have text in {name!r}, where numbers belong: {error}") from error
