"""Values of a tensor in V2 JSON are of its datatype, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from millrace.models.tensors import TensorData, decode_tensor


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP64", [1, 2.5]),
        ("FP32", [None, 2.5]),
        ("INT8", [1, -2]),
        ("BOOL", [True, False]),
        ("BYTES", ["a", ""]),
    ],
)
def test_values_of_their_datatype_are_read(datatype: str, data: list[Any]) -> None:
    array = decode_tensor(TensorData("t", datatype, (2, 1), data))
    assert array.shape == (2, 1)
    np.testing.assert_array_equal(array.ravel(), [np.nan if value is None else value for value in data])


@pytest.mark.parametrize(
    ("datatype", "data", "wrong"),
    [
        ("FP64", [1.5, "2"], "'2'"),
        ("FP64", [True, 1.5], "True"),
        ("INT64", [1, 2.5], "2.5"),
        ("INT64", [None, 1], "None"),
        ("INT64", [1, False], "False"),
        ("BOOL", [True, 1], "1"),
        ("BYTES", ["a", None], "None"),
    ],
)
def test_a_value_of_another_kind_is_named(datatype: str, data: list[Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=f"'t' is {datatype}, which {wrong} is not"):
        decode_tensor(TensorData("t", datatype, (2, 1), data))
