"""Columns joined before ONNX Runtime sees them: no answer changes, and a model that does more stays whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from millrace.models import Bundle, OnnxModel, Tensor, write_bundle
from millrace.models.columns import join
from millrace.models.spark import convert
from millrace.models.tensors import DATATYPES
from tests.unit.models.saved import load

ML = "ai.onnx.ml"
INPUTS = [Tensor("colour", "BYTES", (-1, 1)), Tensor("size", "FP64", (-1, 1))]
NUMBERS = numpy_helper.from_array(np.array([10.0, 20.0]))
OTHER = numpy_helper.from_array(np.array([-1.0]))
TABLE: dict[str, Any] = {"keys_strings": ["red", "blue"], "values_tensor": NUMBERS, "default_tensor": OTHER}


def encoder(domain: str = ML, **attributes: Any) -> NodeProto:
    return helper.make_node("LabelEncoder", ["colour"], ["number"], domain=domain, **(attributes or TABLE))


def concat(*names: str, axis: int = 1) -> NodeProto:
    return helper.make_node("Concat", names or ["number", "size"], ["joined"], axis=axis)


TWICE = helper.make_node("Add", ["joined", "joined"], ["y"])


def model(nodes: Sequence[NodeProto], outputs: Sequence[str] = ("y",)) -> ModelProto:
    """Of `nodes`, with the inputs INPUTS."""
    graph = helper.make_graph(
        nodes,
        "columns",
        [
            helper.make_tensor_value_info("colour", TensorProto.STRING, ["N", 1]),
            helper.make_tensor_value_info("size", TensorProto.DOUBLE, ["N", 1]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in outputs],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 5)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def joined_of(made: ModelProto) -> list[str] | None:
    """The operators that are left in a joined model."""
    joined = join(made.SerializeToString(), INPUTS)
    return [node.op_type for node in ModelProto.FromString(joined.model).graph.node] if joined else None


@pytest.fixture
def flights(tmp_path: Path) -> Bundle:
    """Trees of Spark over columns of text and of numbers, asked for all that it has answered."""
    saved = load("gbt_sets_keep")
    made = convert(saved.pipeline)
    inputs = {value.name: saved.inputs[value.name] for value in made.graph.input}
    return write_bundle(tmp_path / "bundle", made, inputs, saved.outputs, framework="Spark")


def test_every_row_has_the_bits_that_the_whole_model_gives(flights: Bundle) -> None:
    inputs, served = flights.verification().inputs, OnnxModel(flights)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # several sum the trees in another order
    whole = ort.InferenceSession(flights.read("model.onnx"), options)
    # Texts that no training saw are among them.
    inputs = {n: np.append(a, [["?"]] if a.dtype == object else [[3.0]], axis=0) for n, a in inputs.items()}
    names = [output.name for output in whole.get_outputs()]
    together = served.run(inputs, names)
    assert len(served.session.get_inputs()) == 1
    place = {tensor.name: number for number, tensor in enumerate(flights.outputs)}
    for name, expected in zip(names, whole.run(names, inputs), strict=True):
        assert together[name].tobytes() == expected.tobytes()
        for row in range(len(expected)):
            one = {column: array[row : row + 1] for column, array in inputs.items()}
            values = [inputs[tensor.name][row].tolist() for tensor in flights.inputs]
            assert served.run(one, names)[name].tobytes() == expected[row : row + 1].tobytes()
            assert served.run_row(values)[place[name]] == expected[row].reshape(-1).tolist()


@pytest.mark.parametrize(
    ("attributes", "numbers"),
    [
        (TABLE, [10.0, 20.0, -1.0]),
        ({"keys_strings": ["red", "blue"], "values_int64s": [7, 8]}, [7, 8, -1]),
        ({"keys_strings": ["red", "blue"], "values_int64s": [7, 8], "default_int64": 9}, [7, 8, 9]),
        ({"keys_strings": ["red", "blue"], "values_floats": [0.1, 0.2]}, np.float32([0.1, 0.2, 0.0])),
    ],
)
def test_text_becomes_the_number_that_the_model_says(
    attributes: dict[str, Any], numbers: Sequence[float]
) -> None:
    kind = {int: TensorProto.INT64}.get(type(numbers[0]), TensorProto.DOUBLE)
    if isinstance(numbers, np.ndarray):
        kind = TensorProto.FLOAT
    made = model([encoder(**attributes), concat(), TWICE])
    made.graph.input[1].type.tensor_type.elem_type = kind
    made.graph.output[0].type.tensor_type.elem_type = kind
    datatype = {TensorProto.INT64: "INT64", TensorProto.FLOAT: "FP32"}.get(kind, "FP64")
    joined = join(made.SerializeToString(), [INPUTS[0], Tensor("size", datatype, (-1, 1))])
    assert joined
    size = np.zeros((3, 1), DATATYPES[datatype])
    given = {"colour": np.array([["red"], ["blue"], ["green"]], object), "size": size}
    (array,) = joined.columns.join(given, 3).values()
    assert array[:, 0].tolist() == list(map(float, numbers))
    assert [joined.columns.row([[t], [0]])[0] for t in ("red", "blue", "green")] == [*array[:, 0]]
    whole = ort.InferenceSession(made.SerializeToString())
    short = ort.InferenceSession(joined.model).run(["y"], joined.columns.join(given, 3))
    np.testing.assert_array_equal(whole.run(["y"], given)[0], short[0])


def test_columns_are_joined_in_the_models_order() -> None:
    made = model([encoder(), concat("size", "number"), TWICE])
    joined = join(made.SerializeToString(), INPUTS)
    assert joined
    assert joined.columns.row([["blue"], [3.0]]) == [3.0, 20.0]
    assert joined_of(made) == ["Add"]


def wide(made: ModelProto) -> ModelProto:
    made.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 2
    return made


def branch() -> GraphProto:
    """A branch that reads a column of the graph around it."""
    value = helper.make_tensor_value_info("inner", TensorProto.DOUBLE, None)
    return helper.make_graph([helper.make_node("Neg", ["size"], ["inner"])], "branch", [], [value])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: model([encoder(), concat(), TWICE, helper.make_node("IsNaN", ["size"], ["z"])], ["y"]),
            id="a column is read elsewhere",
        ),
        pytest.param(lambda: model([encoder(), concat(), TWICE], ["y", "number"]), id="a number is answered"),
        pytest.param(lambda: model([encoder(), concat(), TWICE], ["y", "joined"]), id="the join is answered"),
        pytest.param(lambda: model([encoder(), concat(axis=0), TWICE]), id="rows are joined"),
        pytest.param(lambda: model([encoder(), concat("number", "size", "size"), TWICE]), id="one is twice"),
        pytest.param(
            lambda: model([encoder(**TABLE | {"keys_strings": ["red", "red"]}), concat(), TWICE]),
            id="a text has two numbers",
        ),
        pytest.param(
            lambda: model(
                [encoder(), helper.make_node("Neg", ["size"], ["minus"]), concat("number", "minus"), TWICE]
            ),
            id="a column is computed with",
        ),
        pytest.param(
            lambda: model([encoder("example"), concat(), TWICE]), id="an operator only bears the name"
        ),
        pytest.param(lambda: wide(model([encoder(), concat(), TWICE])), id="a column is wide in the model"),
    ],
)
def test_a_model_that_does_more_with_its_columns_stays_whole(make: Callable[[], ModelProto]) -> None:
    assert joined_of(model([encoder(), concat(), TWICE])) == ["Add"]
    assert joined_of(make()) is None


def test_a_model_with_a_graph_inside_stays_whole() -> None:
    made = model([encoder(), concat(), TWICE])
    made.graph.node.append(
        helper.make_node("If", ["always"], ["z"], then_branch=branch(), else_branch=branch())
    )
    assert joined_of(made) is None


def test_a_model_with_other_inputs_than_declared_stays_whole() -> None:
    made = model([encoder(), concat(), TWICE]).SerializeToString()
    assert join(made, INPUTS)
    for other in (
        Tensor("size", "FP64", (-1, 2)),
        Tensor("size", "FP32", (-1, 1)),
        Tensor("a", "FP64", (-1, 1)),
    ):
        assert join(made, [INPUTS[0], other]) is None
    assert join(made, INPUTS[:1]) is None
    assert join(made, [*INPUTS, Tensor("a", "FP64", (-1, 1))]) is None


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("size", np.array([[1.5]], np.float32)),
        ("size", np.array([["1.5"]], object)),
        ("size", np.array([1.5])),
        ("colour", np.array([[1.0]])),
    ],
    ids=["32 bits", "text", "no column", "a number for a text"],
)
def test_arrays_of_another_kind_are_refused_by_name(name: str, array: np.ndarray) -> None:
    joined = join(model([encoder(), concat(), TWICE]).SerializeToString(), INPUTS)
    assert joined
    right = {"colour": np.array([["red"]], object), "size": np.array([[1.5]])}
    assert joined.columns.join(right, 1)[joined.columns.name].tolist() == [[10.0, 1.5]]
    with pytest.raises(ValueError, match=f"input '{name}' is "):
        joined.columns.join(right | {name: array}, 1)


def test_a_large_model_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model([encoder(), concat(), TWICE]).SerializeToString()
    assert join(made, INPUTS)
    monkeypatch.setattr("millrace.models.columns._MOST_BYTES", len(made) - 1)
    assert join(made, INPUTS) is None
