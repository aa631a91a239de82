"""The columns of a data frame on their way through the stages, as values of an ONNX graph.

Columns are built when a later stage asks for them. So an indexer of the label, which is not there when the
model is used, leaves no trace, just as Spark skips it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from millrace.models.spark.errors import ConversionError
from millrace.models.spark.graph import Graph
from millrace.models.spark.reader import Stage

ColumnType = Literal["string", "double", "integer"]
VALID = "valid"


@dataclass(frozen=True)
class Scalar:
    """A column of one value a row, [N, 1]: text, or doubles."""

    value: str
    text: bool = False
    integer: bool = False
    #: Set for an index: it is below this, or -1 where the row is invalid anyway.
    categories: int | None = None
    may_be_nan: bool = True


@dataclass(frozen=True)
class Position:
    """An element of a vector: a scalar, or whether an index equals `category`."""

    value: str
    category: int | None = None


@dataclass(frozen=True)
class Vector:
    """A column of vectors. `build` makes it [N, width]; `positions` tell what it consists of, if known."""

    width: int
    build: Callable[[], str]
    positions: tuple[Position, ...] | None = None


@dataclass(frozen=True)
class Output:
    value: str
    onnx_type: int
    shape: tuple[str | int, ...]


class Flow:
    """Columns by name, the graph they are built in, and what leaves it."""

    def __init__(self, types: Mapping[str, ColumnType]) -> None:
        self.graph = Graph()
        self._types = types
        self._pending: dict[str, Callable[[], Scalar | Vector]] = {}
        self._columns: dict[str, Scalar | Vector] = {}
        self._inputs: dict[str, ValueInfoProto] = {}
        self._outputs: dict[str, Output] = {}
        self._invalid: list[str] = []

    def define(self, stage: Stage, name: str, build: Callable[[], Scalar | Vector]) -> None:
        """Say how a stage makes the column `name`."""
        if name in self._pending:
            raise stage.unsupported(f"column {name!r} exists already")
        self._pending[name] = build

    def column(self, name: str, otherwise: ColumnType = "double") -> Scalar | Vector:
        """A column. One that no stage makes is an input: of the type declared for it, or `otherwise`."""
        if name not in self._columns:
            if name in self._pending:
                self._columns[name] = self._pending[name]()
            else:
                kind = self._types.get(name, otherwise)
                text = kind == "string"
                self._input(name, TensorProto.STRING if text else TensorProto.DOUBLE, 1)
                self._columns[name] = Scalar(name, text=text, integer=kind == "integer")
        return self._columns[name]

    def scalar(self, stage: Stage, name: str, otherwise: ColumnType = "double") -> Scalar:
        """A column that must hold one value a row, numbers unless `otherwise` is string."""
        column = self.column(name, otherwise)
        if not isinstance(column, Scalar):
            raise stage.unsupported(f"its input {name!r} is a vector")
        if column.text and otherwise != "string":
            raise stage.unsupported(
                f"its input {name!r} is text; if it is a number that another stage indexes, "
                f"declare it: types={{{name!r}: 'double'}}"
            )
        return column

    def vector(self, stage: Stage, name: str, width: int) -> Vector:
        """A column that must hold vectors of a width. One that no stage makes is an input [N, width]."""
        if name not in self._pending and name not in self._columns:
            self._input(name, TensorProto.DOUBLE, width)
            self._columns[name] = Vector(width, lambda: name)
        column = self.column(name)
        if not isinstance(column, Vector):
            raise stage.unsupported(f"its input {name!r} is not a vector")
        if column.width != width:
            raise stage.unsupported(
                f"it wants {width} features and {name!r} has {column.width}; "
                "vector columns as inputs of a VectorAssembler are not supported"
            )
        return column

    def invalid(self, condition: str) -> None:
        """Note [N, 1] booleans: true where Spark would raise an error or drop the row."""
        self._invalid.append(condition)

    def predict(self, stage: Stage, param: str, value: str, width: int | None = None) -> None:
        """Make doubles [N, 1] or [N, width] the column that a predictor's parameter names, and an output."""
        name = stage.params.get(param)
        if not name:
            return
        if width is None:
            self.define(stage, name, lambda: Scalar(value))
            flat = self.graph.op("Reshape", value, self.graph.shape(-1))
            self._outputs[name] = Output(flat, TensorProto.DOUBLE, ("N",))
        else:
            self.define(stage, name, lambda: Vector(width, lambda: value))
            self._outputs[name] = Output(value, TensorProto.DOUBLE, ("N", width))

    def label(self, stage: Stage, votes: str) -> None:
        """Make the class with the most `votes` [N, classes], the first of equal ones, the prediction."""
        name = stage.params.get("predictionCol")
        if not name:
            return
        graph = self.graph

        def column() -> Scalar:
            return Scalar(graph.op("Reshape", flat, graph.shape(-1, 1)), integer=True)

        flat = graph.to_double(graph.op("ArgMax", votes, axis=1, keepdims=0))
        self.define(stage, name, column)
        self._outputs[name] = Output(flat, TensorProto.DOUBLE, ("N",))

    def model(self, wanted: list[str] | None) -> ModelProto:
        """The ONNX model with the wanted outputs, or all. Raises ConversionError when one does not exist."""
        outputs = dict(self._outputs)
        if not outputs:
            raise ConversionError("the pipeline has no stage that predicts, so there is nothing to serve")
        if self._invalid:
            if VALID in outputs:
                raise ConversionError(f"the output column {VALID!r} is needed to mark rows: rename it")
            rows = self._invalid[0]
            for condition in self._invalid[1:]:
                rows = self.graph.op("Or", rows, condition)
            flat = self.graph.op("Reshape", self.graph.op("Not", rows), self.graph.shape(-1))
            outputs[VALID] = Output(flat, TensorProto.BOOL, ("N",))
        if wanted is not None:
            if missing := [name for name in wanted if name not in outputs]:
                raise ConversionError(f"the pipeline has no output {missing[0]!r}, only {sorted(outputs)}")
            outputs = {name: outputs[name] for name in wanted}
        if clash := set(outputs) & set(self._inputs):
            raise ConversionError(f"column {sorted(clash)[0]!r} is both an input and an output")
        for name, output in outputs.items():
            self.graph.op("Identity", output.value, output=name)
        return self.graph.model(
            list(self._inputs.values()),
            [helper.make_tensor_value_info(n, o.onnx_type, o.shape) for n, o in outputs.items()],
        )

    def _input(self, name: str, onnx_type: int, width: int) -> None:
        self._inputs[name] = helper.make_tensor_value_info(name, onnx_type, ["N", width])
