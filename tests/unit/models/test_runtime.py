"""The runtime gives equal rows equal bits, however they are grouped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.models import Bundle, write_bundle
from millrace.models.runtime import OnnxModel
from millrace.models.spark import convert
from tests.unit.models import arithmetic
from tests.unit.models.saved import load


@pytest.fixture
def forest(tmp_path: Path) -> Bundle:
    saved = load("forest_binary")
    model = convert(saved.pipeline)
    inputs = {i.name: saved.inputs[i.name] for i in model.graph.input}
    return write_bundle(tmp_path / "bundle", model, inputs, saved.outputs, framework="Spark")


def test_gives_equal_bits_in_batches_of_any_size(forest: Bundle) -> None:
    model, inputs = OnnxModel(forest), forest.verification().inputs
    repeats = 5000 // len(inputs["city"])
    many = {name: np.tile(array, (repeats, 1)) for name, array in inputs.items()}
    together = model.run(many)
    for row in range(len(inputs["city"])):
        single = model.run({name: array[row : row + 1] for name, array in inputs.items()})
        for name, values in single.items():
            assert len(values) == 1
            assert values.tobytes() == together[name][row : row + 1].tobytes()
            assert values.tobytes() == together[name][row - len(inputs["city"])][None].tobytes()


@pytest.mark.parametrize(("rows", "calls"), [(1, [2]), (2, [2]), (2000, [2000]), (4001, [2000, 2000, 2])])
def test_never_asks_for_one_row_nor_for_more_than_2000(rows: int, calls: list[int], tmp_path: Path) -> None:
    """Batches of these sizes are the ones that ONNX Runtime may compute with other bits."""
    model = OnnxModel(arithmetic.write(tmp_path / "bundle"))
    session, seen = model.session, []

    class Recorder:
        def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            seen.append(len(inputs["a"]))
            return session.run(names, inputs)

        def __getattr__(self, name: str) -> Any:
            return getattr(session, name)

    model.session = Recorder()
    inputs, outputs = arithmetic.rows(rows)
    np.testing.assert_array_equal(model.run(inputs)["total"], outputs["total"])
    assert seen == calls


def test_computes_the_outputs_asked_for(tmp_path: Path) -> None:
    model = OnnxModel(arithmetic.write(tmp_path / "bundle"))
    inputs, outputs = arithmetic.rows()
    got = model.run(inputs, ["label"])
    assert list(got) == ["label"]
    np.testing.assert_array_equal(got["label"], outputs["label"])


def test_wants_rows_of_equal_number(tmp_path: Path) -> None:
    model = OnnxModel(arithmetic.write(tmp_path / "bundle"))
    inputs, _ = arithmetic.rows()
    with pytest.raises(ValueError, match="same number of rows"):
        model.run({"a": inputs["a"], "b": inputs["b"][:3]})
    with pytest.raises(ValueError, match="at least one"):
        model.run({"a": inputs["a"][:0], "b": inputs["b"][:0]})


def test_an_answer_stays_when_the_next_row_is_asked_for(forest: Bundle) -> None:
    model, inputs = OnnxModel(forest), forest.verification().inputs
    rows = [{name: array[n : n + 1] for name, array in inputs.items()} for n in range(20)]
    answers = [model.run(row) for row in rows]
    for row, answer in zip(rows, answers, strict=True):
        for name, values in OnnxModel(forest).run(row).items():
            assert values.tobytes() == answer[name].tobytes()


def test_a_row_without_one_of_its_inputs_is_not_computed_with_an_earlier_ones(forest: Bundle) -> None:
    model = OnnxModel(forest)
    row = {name: array[:1] for name, array in forest.verification().inputs.items()}
    model.run(row)
    row.pop(next(iter(row)))
    with pytest.raises(ValueError, match="missing"):
        model.run(row)
