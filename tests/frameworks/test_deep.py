"""Keras and PyTorch models as bundles. Not among the unit tests, for the size of their environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from millrace.models import Bundle, OnnxModel, verify


def check_others(bundle: Bundle, place: Path) -> None:
    """Rows that are not in the bundle are answered as the framework did, also a single one."""
    with np.load(place / "others.npz") as others:
        expected = others["probabilities"]
        (name,) = (tensor.name for tensor in bundle.inputs)
        rows = others[name]
    for some in (slice(None), slice(1)):
        got = OnnxModel(bundle).run({name: rows[some]})["probabilities"]
        np.testing.assert_allclose(got, expected[some], atol=1e-6)


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_keras(deep: Callable[..., str], backend: str, tmp_path: Path) -> None:
    said = deep("keras_model.py", tmp_path, KERAS_BACKEND=backend)
    assert "Keras 3" in said
    check_others(Bundle.load(tmp_path / "bundle"), tmp_path)
    two = Bundle.load(tmp_path / "two")
    verify(two)
    assert [(t.name, t.shape) for t in two.inputs] == [("left", (-1, 2)), ("right", (-1, 3))]
    assert [(t.name, t.shape) for t in two.outputs] == [("value", (-1, 1)), ("pair", (-1, 2))]


def test_pytorch(deep: Callable[..., str], tmp_path: Path) -> None:
    said = deep("torch_model.py", tmp_path)
    assert "PyTorch cannot compute the sample rows" in said
    check_others(Bundle.load(tmp_path / "bundle"), tmp_path)
    for name, inputs, outputs in (
        ("exported", ["flower"], ["output"]),
        ("two", ["left", "right"], ["sum", "dot"]),
    ):
        bundle = Bundle.load(tmp_path / name)
        verify(bundle)
        assert ([t.name for t in bundle.inputs], [t.name for t in bundle.outputs]) == (inputs, outputs)
