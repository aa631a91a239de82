"""Stages that make features of columns: StringIndexer, OneHotEncoder, VectorAssembler."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from onnx import numpy_helper

from millrace.models.spark.flow import Flow, Position, Scalar, Vector
from millrace.models.spark.graph import ML
from millrace.models.spark.reader import Stage


def string_indexer(stage: Stage, flow: Flow) -> None:
    """StringIndexerModel: text, or numbers as text, to their indexes."""
    keep = stage.choice("handleInvalid", "error", "skip", "keep") == "keep"
    data = stage.row()
    labels = data.get("labelsArray") or [data["labels"]]
    for (source, target), known in zip(stage.columns, labels, strict=True):
        flow.define(stage, target, partial(_index, stage, flow, source, known, keep))


def _index(stage: Stage, flow: Flow, source: str, labels: list[str], keep: bool) -> Scalar:
    count = len(labels)
    if not count:
        raise stage.unsupported(f"it knows no label of {source!r}")
    column = flow.scalar(stage, source, "string")
    keys: dict[str, Any] = {"keys_strings": labels}
    if not column.text:
        try:
            numbers = np.array([float(label) for label in labels])
        except ValueError as error:
            raise stage.unsupported(f"labels of the number {source!r} are not numbers: {error}") from error
        if len(np.unique(numbers)) < count or np.isnan(numbers).any():
            raise stage.unsupported(f"labels of {source!r} are not distinct as doubles")
        keys = {"keys_tensor": numpy_helper.from_array(numbers)}
    # With `keep` anything unknown, null included, gets the index behind the last.
    index = flow.graph.op(
        "LabelEncoder",
        column.value,
        domain=ML,
        values_tensor=numpy_helper.from_array(np.arange(count, dtype=np.float64)),
        default_tensor=numpy_helper.from_array(np.array([float(count if keep else -1)])),
        **keys,
    )
    if not keep:
        flow.invalid(flow.graph.op("Less", index, flow.graph.constant(0.0)))
    return Scalar(index, integer=True, categories=count + keep, may_be_nan=False)


def one_hot_encoder(stage: Stage, flow: Flow) -> None:
    """OneHotEncoderModel: indexes to vectors with a single one, or none for the category that is dropped."""
    keep = stage.choice("handleInvalid", "error", "keep") == "keep"
    for (source, target), size in zip(stage.columns, stage.row()["categorySizes"], strict=True):
        flow.define(stage, target, partial(_one_hot, stage, flow, source, size, keep))


def _one_hot(stage: Stage, flow: Flow, source: str, size: int, keep: bool) -> Vector:
    graph = flow.graph
    column = flow.scalar(stage, source)
    index = column.value
    if column.categories is None or column.categories > size:
        inside = graph.op(
            "And",
            graph.op("GreaterOrEqual", index, graph.constant(0.0)),
            graph.op("Less", index, graph.constant(float(size))),
        )
        if not keep:
            flow.invalid(graph.op("Not", inside))
        index = graph.op(
            "Where", inside, graph.op("Floor", index), graph.constant(float(size if keep else -1))
        )
    categories = size + keep
    width = categories - bool(stage.params["dropLast"])

    def build() -> str:
        row = graph.to_int64(graph.op("Max", index, graph.constant(0.0)))
        return graph.op(
            "Gather", graph.constant(np.eye(categories, width)), graph.op("Reshape", row, graph.shape(-1))
        )

    return Vector(width, build, tuple(Position(index, category) for category in range(width)))


def vector_assembler(stage: Stage, flow: Flow) -> None:
    """VectorAssembler: numbers and vectors side by side."""
    stage.choice("handleInvalid", "error", "skip", "keep")
    flow.define(stage, stage.params["outputCol"], partial(_assemble, stage, flow))


def _assemble(stage: Stage, flow: Flow) -> Vector:
    keep = stage.params["handleInvalid"] == "keep"
    parts: list[Vector] = []
    for name in stage.params["inputCols"]:
        column = flow.column(name)
        if isinstance(column, Scalar):
            number = flow.scalar(stage, name)
            if number.may_be_nan and not keep:
                flow.invalid(flow.graph.op("IsNaN", number.value))
            column = Vector(1, partial(str, number.value), (Position(number.value),))
        parts.append(column)
    positions: tuple[Position, ...] | None = ()
    for part in parts:
        positions = None if positions is None or part.positions is None else positions + part.positions

    def build() -> str:
        return flow.graph.op("Concat", *(part.build() for part in parts), axis=1)

    return Vector(sum(part.width for part in parts), build, positions)
