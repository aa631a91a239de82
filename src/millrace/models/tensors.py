"""Tensors as the Open Inference Protocol V2 writes them in JSON, and as numpy holds them."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output of a model: `shape[0]` is -1, the rows; the rest are counts."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class TensorData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor with its values, flat and row by row; null stands for NaN."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


def datatype_of(array: np.ndarray) -> str:
    """The V2 datatype of an array; text (str objects or numpy str) is BYTES.

    Raises TypeError for what V2 cannot express.
    """
    if array.dtype.kind == "U":
        return "BYTES"
    if array.dtype.kind == "O":
        for value in array.flat:
            if not isinstance(value, str):
                raise TypeError(f"an object array may hold only str, not {type(value).__name__}")
        return "BYTES"
    for name, dtype in DATATYPES.items():
        if array.dtype == dtype:
            return name
    raise TypeError(f"no V2 datatype for numpy's {array.dtype}")


def encode_tensor(name: str, array: np.ndarray) -> TensorData:
    """An array as V2 JSON. Raises TypeError (datatype) or ValueError (infinities: JSON has none)."""
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise ValueError(f"tensor {name!r} holds an infinity, which JSON cannot write")
    values = [None if isinstance(v, float) and math.isnan(v) else v for v in array.ravel().tolist()]
    return TensorData(name, datatype_of(array), array.shape, values)


def decode_tensor(tensor: TensorData) -> np.ndarray:
    """The array of a V2 JSON tensor, of `tensor.shape`.

    Raises ValueError naming the tensor when datatype, values and shape do not fit together.
    """
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None:
        raise ValueError(f"tensor {tensor.name!r} has the unknown datatype {tensor.datatype!r}")
    if math.prod(tensor.shape) != len(tensor.data) or any(n < 0 for n in tensor.shape):
        raise ValueError(
            f"tensor {tensor.name!r} has {len(tensor.data)} values, not the shape {list(tensor.shape)}"
        )
    allowed: tuple[type, ...]
    values = tensor.data
    if dtype.kind == "f":
        allowed = (int, float)
        values = [math.nan if v is None else v for v in values]
    else:
        allowed = {"b": (bool,), "O": (str,)}.get(dtype.kind, (int,))
    if not set(map(type, values)) <= set(allowed):
        value = next(value for value in values if type(value) not in allowed)
        raise ValueError(f"tensor {tensor.name!r} is {tensor.datatype}, which {value!r} is not")
    try:
        array = np.array(values, dtype=dtype)
    except OverflowError as error:
        raise ValueError(
            f"tensor {tensor.name!r} has a value out of the range of {tensor.datatype}"
        ) from error
    return array.reshape(tensor.shape)
