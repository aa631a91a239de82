"""A single row in memory that ONNX Runtime keeps using: never the answer of another row."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto, helper

from millrace.models import OnnxModel, Tensor
from millrace.models import pair as pairs
from millrace.models.pair import Pair
from millrace.models.tensors import DATATYPES
from tests.unit.models import arithmetic

X = Tensor("x", "INT64", (-1, 1))
TABLE = helper.make_tensor("table", TensorProto.INT64, [3], [10, 20, 30])


def pair(nodes: Sequence[NodeProto], shape: Sequence[str | int]) -> Pair:
    """Of a model of `nodes` with the input `x` [N, 1] and the output `y`, whole numbers."""
    graph = helper.make_graph(
        nodes,
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 1])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, shape)],
        [TABLE, helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Pair(ort.InferenceSession(model.SerializeToString()), [X], [Tensor("y", "INT64", (-1, 1))])


def ask(pair: Pair, value: int) -> list[int]:
    pair.inputs["x"][:] = value
    return [int(each) for each in pair.run(["y"])["y"].ravel()]


def test_answers_stay_what_they_were_when_others_are_asked(tmp_path: Path) -> None:
    model = OnnxModel(arithmetic.write(tmp_path / "bundle"))
    inputs, outputs = arithmetic.rows()
    singles = [model.run({name: a[row : row + 1] for name, a in inputs.items()}) for row in range(20)]
    for name, expected in outputs.items():
        assert np.concatenate([each[name] for each in singles]).tobytes() == expected.tobytes()


def test_threads_do_not_get_each_others_answers(tmp_path: Path) -> None:
    model = OnnxModel(arithmetic.write(tmp_path / "bundle"))

    def right(row: int) -> bool:
        value = np.full((1, 1), float(row))
        return all(model.run({"a": value, "b": value})["total"][0, 0] == 2 * row for _ in range(300))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(right, range(40)))


def test_outputs_may_be_asked_for_in_turn(tmp_path: Path) -> None:
    model = OnnxModel(arithmetic.write(tmp_path / "bundle"))
    inputs = {"a": np.array([[5.0]]), "b": np.array([[7.0]])}
    for names in (None, ["label"], None, ["label", "total"], ["total"], None):
        got = model.run(inputs, names)
        assert list(got) == (names or ["total", "label"])
        assert {name: a.tolist() for name, a in got.items()} == {
            name: {"total": [[12.0]], "label": [[1]]}[name] for name in got
        }


def test_an_output_may_change_its_shape() -> None:
    row = helper.make_node("Gather", ["x", "zero"], ["first"], axis=0)
    zero = helper.make_node("Constant", [], ["zero"], value_int=0)
    times = helper.make_node("Concat", ["one", "first"], ["times"], axis=0)
    tiled = pair([zero, row, times, helper.make_node("Tile", ["x", "times"], ["y"])], ["N", "K"])
    assert [len(ask(tiled, width)) for width in (3, 3, 5, 5, 2, 3)] == [3, 3, 5, 5, 2, 3]


def test_goes_on_after_values_that_cannot_be_computed() -> None:
    chosen = pair([helper.make_node("Gather", ["table", "x"], ["y"])], ["N", 1])
    assert [ask(chosen, 0), ask(chosen, 1)] == [[10], [20]]
    for _ in range(3):
        with pytest.raises(Exception, match="out of data bounds"):
            ask(chosen, 99)
        assert ask(chosen, 2) == [30]
    assert chosen.bound


VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "BYTES": ["ü", "a\0b"],
    "FP16": [0.1, -65504.0],
    "FP32": [0.1, 16777217],
    "FP64": [0.1, 2**60 + 1],
} | {
    name: [np.iinfo(dtype).min, np.iinfo(dtype).max]
    for name, dtype in DATATYPES.items()
    if dtype.kind in "iu"
}


def empty(datatype: str) -> Pair:
    """A pair with the input `x` [N, 2], which computes nothing."""
    session = pair([helper.make_node("Gather", ["table", "x"], ["y"])], ["N", 1])._session
    return Pair(session, [Tensor("x", datatype, (-1, 2))], [])


@pytest.mark.parametrize("datatype", DATATYPES)
def test_a_row_is_there_twice_with_the_bits_that_numpy_gives_it(datatype: str) -> None:
    filled = empty(datatype)
    filled.fill([VALUES[datatype]])
    expected = np.array([VALUES[datatype]] * 2, DATATYPES[datatype])
    assert filled.inputs["x"].tolist() == expected.tolist()
    assert filled.inputs["x"].dtype == expected.dtype


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("INT8", 128), ("UINT8", -1), ("UINT64", 2**64), ("INT64", 2**63), ("FP16", 65520.0), ("FP32", 1e39)],
)
def test_a_number_out_of_range_is_not_written_as_another(datatype: str, value: float) -> None:
    with pytest.raises((OverflowError, struct.error)):
        empty(datatype).fill([[1, value]])


def test_lists_are_those_of_the_row_that_was_filled_in_last() -> None:
    chosen = pair([helper.make_node("Gather", ["table", "x"], ["y"])], ["N", 1])
    for value, expected in ((0, 10), (1, 20), (2, 30), (1, 20)):
        chosen.fill([[value]])
        assert chosen.values() == [[expected]]
    assert chosen.bound


def test_an_output_of_another_shape_than_declared_is_no_list() -> None:
    column = helper.make_node("Gather", ["table", "x"], ["taken"])
    flat = pair([column, helper.make_node("Squeeze", ["taken", "one"], ["y"])], ["N"])
    for _ in range(3):
        flat.fill([[1]])
        with pytest.raises(ValueError, match="shapes"):
            flat.values()
    assert ask(flat, 1) == [20]


def test_without_what_it_knows_of_onnx_runtime_it_takes_the_public_way() -> None:
    calls: list[object] = []

    class Session:
        def run_with_iobinding(self, binding: object) -> None:
            calls.append(binding)

    pairs._bound_call(Session(), "binding")()
    assert calls == ["binding"]
