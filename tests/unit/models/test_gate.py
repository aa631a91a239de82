"""The gate lets through what reproduces its rows, and shows the first row of what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from millrace.models import Bundle, VerificationFailed, verify, write_bundle
from millrace.models.runtime import OnnxModel
from millrace.models.spark import convert
from tests.unit.models import arithmetic
from tests.unit.models.saved import load

Change = Callable[[dict[str, np.ndarray]], None]


def written_with(change: Change, path: Path) -> Bundle:
    """A bundle whose expected outputs were changed."""
    inputs, outputs = arithmetic.rows()
    change(outputs)
    return write_bundle(path / "bundle", arithmetic.model(), inputs, outputs, framework="arithmetic")


def add(output: str, row: int, difference: float) -> Change:
    def change(outputs: dict[str, np.ndarray]) -> None:
        outputs[output][row:] += np.asarray(difference, outputs[output].dtype)

    return change


def test_lets_a_right_bundle_through(tmp_path: Path) -> None:
    bundle = arithmetic.write(tmp_path / "bundle")
    verify(bundle)
    verify(bundle, OnnxModel(bundle))


def test_refuses_a_changed_label_and_shows_the_first_row(tmp_path: Path) -> None:
    bundle = written_with(add("label", 17, 1), tmp_path)
    with pytest.raises(VerificationFailed) as refusal:
        verify(bundle)
    error = refusal.value
    assert (error.output, error.row, error.differing, error.rows) == ("label", 17, 3, 20)
    assert (error.inputs, error.expected, error.got) == ({"a": 17.0, "b": 17 / 7}, 2, 1)
    assert str(error) == (
        "output 'label' differs from the training framework's in 3 of 20 verification rows; "
        f"the first is row 17: inputs {{'a': 17.0, 'b': {17 / 7}}}, expected 2, got 1"
    )


def test_compares_doubles_within_a_billionth(tmp_path: Path) -> None:
    verify(written_with(add("total", 5, 9e-10), tmp_path / "near"))
    with pytest.raises(VerificationFailed, match=r"'total' differs .* in 15 of 20 .* row 5"):
        verify(written_with(add("total", 5, 3e-8), tmp_path / "far"))


def test_tells_labels_before_numbers(tmp_path: Path) -> None:
    def change(outputs: dict[str, np.ndarray]) -> None:
        add("total", 0, 1.0)(outputs)
        add("label", 3, 1)(outputs)

    with pytest.raises(VerificationFailed, match="'label'"):
        verify(written_with(change, tmp_path))


def spark_bundle(path: Path, manipulate: Change) -> Bundle:
    saved = load("gbt_one_hot")
    model = convert(saved.pipeline, outputs=["prediction", "probability"])
    columns = [i.name for i in model.graph.input]
    outputs = {name: saved.outputs[name].copy() for name in ("prediction", "probability")}
    manipulate(outputs)
    inputs = {name: saved.inputs[name] for name in columns}
    return write_bundle(path / "bundle", model, inputs, outputs, framework="Spark")


def test_labels_kept_as_doubles_must_be_equal(tmp_path: Path) -> None:
    verify(spark_bundle(tmp_path / "right", lambda outputs: None))

    def swap(outputs: dict[str, np.ndarray]) -> None:
        outputs["prediction"][4] = 1 - outputs["prediction"][4]

    with pytest.raises(VerificationFailed, match=r"'prediction' differs .* in 1 of .* row 4: inputs {'city'"):
        verify(spark_bundle(tmp_path / "wrong", swap))


def test_a_label_is_equal_or_it_is_not(tmp_path: Path) -> None:
    """One that is nearly a whole number is none."""
    column = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", 1]) for name in ("a", "label")]
    nodes = [helper.make_node("Add", ["a", "little"], ["label"])]
    little = helper.make_tensor("little", TensorProto.DOUBLE, [], [1e-10])
    graph = helper.make_graph(nodes, "nearly", column[:1], column[1:], [little])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    rows = np.array([[0.0], [1.0]])
    bundle = write_bundle(tmp_path / "bundle", model, {"a": rows}, {"label": rows}, framework="none")
    with pytest.raises(VerificationFailed, match="in 2 of 2"):
        verify(bundle)


def test_refuses_a_model_that_is_off_by_a_category(tmp_path: Path) -> None:
    """What a converter does that takes a set of categories for a threshold."""
    saved = load("gbt_sets_keep")
    model = convert(saved.pipeline, outputs=["prediction", "probability"])
    ensemble = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    modes = next(a for a in ensemble.attribute if a.name == "nodes_modes").t
    raw = bytearray(modes.raw_data)
    assert 4 in raw
    modes.raw_data = bytes(0 if mode == 4 else mode for mode in raw)
    inputs = {i.name: saved.inputs[i.name] for i in model.graph.input}
    outputs = {name: saved.outputs[name] for name in ("prediction", "probability")}
    bundle = write_bundle(tmp_path / "bundle", model, inputs, outputs, framework="Spark")
    with pytest.raises(VerificationFailed, match="differs"):
        verify(bundle)
