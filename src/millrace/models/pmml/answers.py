"""Answers that a document carries (ModelVerification), and answers in columns named as its outputs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from millrace.models.pmml.convert import LABEL, PREDICTION, PROBABILITIES
from millrace.models.pmml.document import Element
from millrace.models.pmml.errors import InvalidDocument


class Meaning(Protocol):
    """What a document predicts: `target` may be empty, `classes` is the order of its probabilities."""

    @property
    def target(self) -> str: ...
    @property
    def classes(self) -> Sequence[str]: ...
    @property
    def document(self) -> Element: ...


def embedded(converted: Meaning, *, gaps: bool = False) -> dict[str, np.ndarray] | None:
    """The columns [N] of the document's ModelVerification as text; None when it has none.

    With `gaps` a row may leave out a column, which then is empty.
    """
    verification = next((m.first("ModelVerification") for m in converted.document if _has(m)), None)
    if verification is None:
        return None
    columns: dict[str, list[str]] = {}
    for field in verification.one("VerificationFields").all("VerificationField"):
        column = field.get("column", field.get("field"))
        # A column may be written with a prefix: data:x1.
        columns[field.get("field")] = _cells(verification, column.rsplit(":", 1)[-1], gaps)
    return {name: np.array(values, object) for name, values in columns.items()}


def outputs(converted: Meaning, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those outputs of the converted model that the columns hold answers for.

    A label or number is under the target's name, `label`, `prediction`, or the document's own name for it;
    probabilities under `probability(CLASS)` or the document's names.
    Raises InvalidDocument when there is none.
    """
    names = _output_names(converted)
    found = {}
    main = LABEL if converted.classes else PREDICTION
    for name in (converted.target, main, *names.get("", [])):
        if name in columns:
            found[main] = columns[name]
            break
    else:
        found.update(_mapped_back(converted, columns))
    shares = []
    for label in converted.classes:
        candidates = (f"probability({label})", f"probability_{label}", *names.get(label, []))
        shares.append(next((columns[name] for name in candidates if name in columns), None))
    if shares and all(share is not None for share in shares):
        together = [numbers(share).reshape(-1) for share in shares if share is not None]
        found[PROBABILITIES] = np.stack(together, axis=1)
    if not found:
        raise InvalidDocument(
            "the rows have no answers of the program that trained the model: "
            f"add a column {converted.target!r}"
            + (", and probability(CLASS) for every class" if converted.classes else "")
        )
    return found


def numbers(array: np.ndarray) -> np.ndarray:
    """An array as doubles; an empty text is a missing one, NaN. Raises ValueError."""
    if array.dtype.kind == "O":
        array = np.array(
            ["nan" if isinstance(value, str) and not value.strip() else value for value in array.flat], object
        ).reshape(array.shape)
    return np.asarray(array, np.float64)


def _output_names(converted: Meaning) -> dict[str, list[str]]:
    """The document's names for the probability of each class, and for the result itself under ''."""
    names: dict[str, list[str]] = {}
    for field in _output_fields(converted):
        feature = field.get("feature", "predictedValue")
        if feature == "probability":
            names.setdefault(field.get("value", ""), []).append(field.get("name"))
        elif feature == "predictedValue":
            names.setdefault("", []).append(field.get("name"))
    return names


def _mapped_back(converted: Meaning, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Labels out of a column that the document makes of them by a table, as Spark's numbered labels."""
    for field in _output_fields(converted):
        table = field.first("MapValues")
        if (
            field.get("feature", "") != "transformedValue"
            or table is None
            or field.get("name") not in columns
        ):
            continue
        source = table.one("FieldColumnPair").get("column").rsplit(":", 1)[-1]
        target = table.get("outputColumn").rsplit(":", 1)[-1]
        rows = table.one("InlineTable").all("row")
        labels = {float(row.one(target).text): row.one(source).text for row in rows}
        values = np.asarray(columns[field.get("name")]).reshape(-1).astype(np.float64).tolist()
        if set(labels.values()) <= set(converted.classes) and set(values) <= set(labels):
            return {LABEL: np.array([labels[value] for value in values], object)}
    return {}


def _output_fields(converted: Meaning) -> list[Element]:
    outputs = [model.first("Output") for model in converted.document]
    return [field for output in outputs if output for field in output.all("OutputField")]


def _has(element: Element) -> bool:
    return element.first("ModelVerification") is not None


def _cells(verification: Element, column: str, gaps: bool) -> list[str]:
    cells = []
    for row in verification.one("InlineTable").all("row"):
        cell = row.first(column)
        if cell is None and not gaps:
            raise InvalidDocument(f"a row of ModelVerification has no {column}: rows with gaps are not read")
        cells.append(cell.text if cell else "")
    return cells
