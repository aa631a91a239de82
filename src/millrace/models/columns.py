"""A model of columns, with its columns put side by side before ONNX Runtime sees them.

Each input of a call costs ONNX Runtime about a microsecond, and text cannot be bound to a session. Models of
tables begin by looking up their columns of text and joining all columns into one array. Both only move
values: done here, they leave a model with one input of numbers, and every answer as it was, bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.models.tensors import DATATYPES, Tensor

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

_ML = "ai.onnx.ml"
_STANDARD = ("", "ai.onnx")
# ONNX Runtime reads a larger model itself, without a copy: a microsecond is not what that one waits for.
_MOST_BYTES = 16 << 20
# Among the numbers of nodes that read a value: the model's caller does.
_OUTPUT = -1


class Table(dict[str, Any]):
    """The number of each text, and `default` for any other."""

    def __init__(self, numbers: Mapping[str, Any], default: Any) -> None:
        super().__init__(numbers)
        self.default = default

    def __missing__(self, text: str) -> Any:
        return self.default


class Columns:
    """How columns become the array [N, columns] that a joined model takes as its input `tensor`."""

    def __init__(
        self, name: str, datatype: str, tables: Mapping[str, Table | None], inputs: Sequence[Tensor]
    ) -> None:
        """`tables`: the columns in their order, those of text with what they are looked up in.

        `inputs`: the same columns in the order of the model's inputs.
        """
        self.name = name
        self.tensor = Tensor(name, datatype, (-1, len(tables)))
        self._items = list(tables.items())
        numbers = {tensor.name: number for number, tensor in enumerate(inputs)}
        self._places = [(numbers[name], table) for name, table in self._items]
        self._dtype = DATATYPES[datatype]

    def row(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        """The values of a single row, from the single value of each column, in the order of the inputs."""
        return [columns[n][0] if table is None else table[columns[n][0]] for n, table in self._places]

    def join(self, inputs: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
        """The model's input, from arrays [rows, 1] of the columns' types; raises ValueError for others."""
        joined = np.empty((rows, len(self._items)), self._dtype)
        for place, (name, table) in enumerate(self._items):
            given = inputs[name]
            right = given.dtype == self._dtype if table is None else given.dtype.kind in "OU"
            if not right or given.shape != (rows, 1):
                wanted = self._dtype if table is None else "text"
                raise ValueError(
                    f"input {name!r} is {given.dtype} {list(given.shape)}, the model takes {wanted} [N, 1]"
                )
            column = given.reshape(rows)
            joined[:, place] = column if table is None else list(map(table.__getitem__, column.tolist()))
        return {self.name: joined}


@dataclass(frozen=True)
class Joined:
    """The rest of a model, and what comes before it."""

    model: bytes
    columns: Columns


def join(content: bytes, inputs: Sequence[Tensor]) -> Joined | None:
    """The model `content` on joined columns; None when it does more with its `inputs` than to join them.

    Raises what onnx raises for bytes that are no model.
    """
    if len(content) > _MOST_BYTES or len(inputs) < 2:
        return None
    if any(tuple(tensor.shape) != (-1, 1) for tensor in inputs):
        return None
    from onnx import helper, load_from_string

    model = load_from_string(content)
    graph = model.graph
    found = _find(graph, inputs)
    if found is None:
        return None
    columns, gone = found
    nodes = [node for number, node in enumerate(graph.node) if number not in gone]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    tensor = columns.tensor
    kind = helper.np_dtype_to_tensor_dtype(DATATYPES[tensor.datatype])
    graph.input.append(helper.make_tensor_value_info(tensor.name, kind, ["N", tensor.shape[1]]))
    return Joined(model.SerializeToString(), columns)


@dataclass(frozen=True)
class _End:
    """Where a column goes: `value` is what the node `join` reads, after the nodes `past`."""

    column: str
    datatype: str
    table: Table | None
    value: str
    past: frozenset[int]
    join: int


def _find(graph: GraphProto, inputs: Sequence[Tensor]) -> tuple[Columns, frozenset[int]] | None:
    """The columns of a graph, and the numbers of the nodes that only look up and join them."""
    if not _declares(graph, inputs):
        return None
    if any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute):
        return None  # a graph inside a node may read anything
    readers = _readers(graph)
    ends: dict[str, _End] = {}
    for tensor in inputs:
        end = _follow(graph, readers, tensor)
        if end is None:
            return None
        ends[end.value] = end
    past = frozenset[int]().union(*(end.past for end in ends.values()))
    # Of one Concat all inputs have one type; were there a second one, its columns would be missing here.
    datatype, number = next((end.datatype, end.join) for end in ends.values())
    concat = graph.node[number]
    joined = concat.output[0]
    if (
        sorted(concat.input) != sorted(ends)
        or concat.attribute[0].i not in (1, -1)
        or _OUTPUT in readers.get(joined, [_OUTPUT])
        or datatype == "BYTES"
    ):
        return None
    tables = {ends[value].column: ends[value].table for value in concat.input}
    return Columns(joined, datatype, tables, inputs), past | {number}


def _declares(graph: GraphProto, inputs: Sequence[Tensor]) -> bool:
    """Whether a graph has these inputs and no others, columns of these datatypes."""
    from onnx import helper

    wanted = {t.name: helper.np_dtype_to_tensor_dtype(DATATYPES[t.datatype]) for t in inputs}
    types = {value.name: value.type.tensor_type for value in graph.input}
    return {name: kind.elem_type for name, kind in types.items()} == wanted and all(
        len(kind.shape.dim) == 2 and kind.shape.dim[1].dim_value in (0, 1) for kind in types.values()
    )


def _readers(graph: GraphProto) -> dict[str, list[int]]:
    """The numbers of the nodes that read each value."""
    readers: dict[str, list[int]] = {}
    for number, node in enumerate(graph.node):
        for name in node.input:
            readers.setdefault(name, []).append(number)
    for output in graph.output:
        readers.setdefault(output.name, []).append(_OUTPUT)
    return readers


def _follow(graph: GraphProto, readers: Mapping[str, Sequence[int]], tensor: Tensor) -> _End | None:
    """The end of a column that nothing else reads on its way into a Concat."""
    value, datatype, table = tensor.name, tensor.datatype, None
    past: set[int] = set()
    while len(readers.get(value, ())) == 1 and (number := readers[value][0]) != _OUTPUT:
        node = graph.node[number]
        if node.op_type == "Concat" and node.domain in _STANDARD:
            return _End(tensor.name, datatype, table, value, frozenset(past), number)
        if node.op_type == "LabelEncoder" and node.domain == _ML and datatype == "BYTES":
            looked_up = _table(node)
            if looked_up is None:
                return None
            datatype, table = looked_up
        elif node.op_type != "Identity" or node.domain not in _STANDARD:
            return None
        past.add(number)
        value = node.output[0]
    return None


def _table(node: NodeProto) -> tuple[str, Table] | None:
    """The datatype of what a LabelEncoder makes of text, and what it makes; None for forms unknown here."""
    from onnx import helper, numpy_helper

    said = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    keys = [key.decode() for key in said.get("keys_strings", ())]
    if "values_tensor" in said and "default_tensor" in said:
        values = numpy_helper.to_array(said["values_tensor"])
        (default,) = numpy_helper.to_array(said["default_tensor"])
    elif "values_int64s" in said:
        values, default = np.array(said["values_int64s"], np.int64), said.get("default_int64", -1)
    elif "values_floats" in said:
        values, default = np.array(said["values_floats"], np.float32), said.get("default_float", -0.0)
    else:
        return None
    datatype = next((name for name, dtype in DATATYPES.items() if dtype == values.dtype), "BYTES")
    if datatype == "BYTES" or not keys or len(set(keys)) < len(keys) or len(keys) != len(values):
        return None
    return datatype, Table(dict(zip(keys, values.tolist(), strict=True)), values.dtype.type(default).item())
