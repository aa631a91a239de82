"""Inputs of a model: values as protocols carry them become arrays of its signature, or a clear refusal."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from millrace.models.tensors import DATATYPES
from millrace.serving.errors import BadRequest, brief

KINDS: dict[str, type] = {"BOOL": bool, "BYTES": str} | {
    name: float if dtype.kind == "f" else int
    for name, dtype in DATATYPES.items()
    if name not in ("BOOL", "BYTES")
}
_WORDS = {bool: "true or false", int: "whole numbers", float: "numbers", str: "strings"}
_DECODERS = {kind: msgspec.json.Decoder(list[kind]) for kind in _WORDS}  # type: ignore[valid-type]


class InputReader:
    """Turns one input of requests into an array of its signature's datatype and shape."""

    def __init__(self, name: str, datatype: str, shape: Sequence[int], nullable: bool = False) -> None:
        """`nullable`: null is NaN, for a floating-point input that was verified with missing values."""
        self.name = name
        self.datatype = datatype
        self.shape = list(shape)
        self.dtype = DATATYPES[datatype]
        self.kind = KINDS[datatype]
        self.nullable = nullable and self.kind is float
        self.width = math.prod(self.shape[1:])
        self._rest = self.shape[1:]
        self._types = {float, int} if self.kind is float else {self.kind}
        self._decode = _DECODERS[self.kind].decode

    def check(self, datatype: str, shape: list[int], max_rows: int) -> list[int]:
        """The shape of the array for what a request declares; raises `BadRequest` that names the input."""
        if datatype != self.datatype:
            raise self.bad(f"has datatype {brief(datatype)}, the model takes {self.datatype}")
        full = shape
        if shape[1:] != self._rest or not shape or shape[0] < 1:
            full = self._fit(shape)
        if full[0] > max_rows:
            raise self.bad(f"has {full[0]} rows, a request may have {max_rows}")
        return full

    def takes(self, values: list[Any]) -> bool:
        """Whether each value is of a type that it makes arrays of."""
        return self._types.issuperset(map(type, values))

    def of_values(self, values: list[Any], shape: list[int]) -> NDArray[Any]:
        """The array of flat values; raises `BadRequest`."""
        if len(values) != math.prod(shape):
            raise self.bad(f"has {len(values)} values, its shape {shape} needs {math.prod(shape)}")
        if not self.takes(values):
            for place, value in enumerate(values):
                self._check(place, value)
            values = [math.nan if value is None else value for value in values]
        return self._array(values).reshape(shape)

    def of_json(self, data: bytes | msgspec.Raw, declared: list[int], shape: list[int]) -> NDArray[Any]:
        """The array of a JSON list, flat or nested as its shape declares; raises `BadRequest`."""
        try:
            values = self._decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            values = self._nested(data, declared)
        return self.of_values(values, shape)

    def of_bytes(self, data: memoryview, shape: list[int]) -> NDArray[Any]:
        """The array of its bytes, little-endian and row by row; raises `BadRequest`."""
        needed = math.prod(shape) * self.dtype.itemsize
        if len(data) != needed:
            raise self.bad(f"has {len(data)} bytes, its shape {shape} of {self.datatype} needs {needed}")
        # Copied, so that it is aligned whatever came before it.
        return np.frombuffer(data, self.dtype).reshape(shape).copy()

    def of_texts(self, texts: Sequence[bytes], shape: list[int]) -> NDArray[Any]:
        """The array of UTF-8 texts, for BYTES; raises `BadRequest`."""
        if len(texts) != math.prod(shape):
            raise self.bad(f"has {len(texts)} texts, its shape {shape} needs {math.prod(shape)}")
        array = np.empty(len(texts), dtype=object)
        for place, text in enumerate(texts):
            try:
                array[place] = text.decode()
            except UnicodeDecodeError:
                raise self.bad(f"holds bytes at {place} that are not UTF-8 text") from None
        return array.reshape(shape)

    def bad(self, text: str) -> BadRequest:
        """What to raise for what is wrong with this input."""
        return BadRequest(f"input '{self.name}' {text}")

    def _array(self, values: list[Any]) -> NDArray[Any]:
        try:
            with np.errstate(over="raise"):
                return np.array(values, dtype=self.dtype)
        except (OverflowError, FloatingPointError):
            raise self.bad(f"holds a number out of the range of {self.datatype}") from None

    def _fit(self, shape: list[int]) -> list[int]:
        """`shape` as the signature has it; a column may come as [N] or [N,1]."""
        for candidate in (shape, [*shape, 1], shape[:-1] if shape[-1:] == [1] else shape):
            if len(candidate) == len(self.shape) and all(
                got >= 1 and wanted in (-1, got) for got, wanted in zip(candidate, self.shape, strict=True)
            ):
                return candidate
        raise self.bad(f"has shape {brief(shape)}, the model takes {self.shape} (-1: one or more)")

    def _nested(self, data: bytes | msgspec.Raw, shape: list[int]) -> list[Any]:
        """The values of nested lists; a wrong one is told with its place."""
        try:
            values = msgspec.json.decode(data)
        except RecursionError:
            raise self.bad("has data that is nested too deeply") from None
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise self.bad(f"has data that cannot be read: {error}") from None
        if not isinstance(values, list):
            raise self.bad("has data that is not a list")
        # Only a list of lists is nested; a flat one of wrong values goes on to be told so.
        depth = 1
        while depth < len(shape) and values and isinstance(values[0], list):
            size = shape[depth]
            for place, value in enumerate(values):
                if not isinstance(value, list) or len(value) != size:
                    raise self.bad(
                        f"has data that does not nest as its shape {brief(shape)} says, at {place}"
                    )
            values = [value for inner in values for value in inner]
            depth += 1
        return values

    def _check(self, place: int, value: Any) -> None:
        wanted = _WORDS[self.kind]
        if value is None:
            if self.nullable:
                return
            raise self.bad(
                f"holds null at {place}: the model was not verified with missing values, send {wanted}"
            )
        if type(value) not in self._types:
            raise self.bad(f"holds {brief(repr(value), 40)} at {place}, {self.datatype} takes {wanted}")
