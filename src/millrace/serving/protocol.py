"""Open Inference Protocol V2, JSON: requests to arrays, arrays to answers. No HTTP, no ONNX Runtime."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from millrace.models.tensors import Tensor

_KINDS: dict[str, tuple[Any, type]] = {
    "BOOL": (np.bool_, bool),
    "INT8": (np.int8, int),
    "INT16": (np.int16, int),
    "INT32": (np.int32, int),
    "INT64": (np.int64, int),
    "UINT8": (np.uint8, int),
    "UINT16": (np.uint16, int),
    "UINT32": (np.uint32, int),
    "UINT64": (np.uint64, int),
    "FP32": (np.float32, float),
    "FP64": (np.float64, float),
    "BYTES": (np.object_, str),
}
_WORDS = {bool: "true or false", int: "whole numbers", float: "numbers", str: "strings"}
_DECODERS = {kind: msgspec.json.Decoder(list[kind]) for kind in _WORDS}  # type: ignore[valid-type]


class BadRequest(Exception):
    """What is wrong with a request, in words for its sender."""


class InferInput(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    inputs: list[InferInput]
    outputs: list[RequestedOutput] | None = None
    id: str | None = None
    # Raw: echoed as it came, never looked into.
    parameters: dict[str, msgspec.Raw] | None = None


class InferOutput(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class InferResponse(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[InferOutput]
    id: str | None = None
    parameters: dict[str, msgspec.Raw] | None = None


_decode_request = msgspec.json.Decoder(InferRequest).decode
encode = msgspec.json.Encoder().encode


def decode_request(body: bytes) -> InferRequest:
    """The request in `body`; raises `BadRequest`."""
    try:
        return _decode_request(body)
    except RecursionError:
        raise BadRequest("the request is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise BadRequest(f"the request is not of the V2 protocol: {error}") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRequest(f"the request is not JSON: {error}") from None


class InputReader:
    """Turns one input of requests into an array of its signature's datatype and shape."""

    def __init__(self, name: str, datatype: str, shape: Sequence[int], nullable: bool = False) -> None:
        """`nullable`: null is NaN, for a floating-point input that was verified with missing values."""
        if datatype not in _KINDS:
            raise ValueError(f"input '{name}': unknown datatype {datatype}")
        self.name = name
        self.datatype = datatype
        self.shape = list(shape)
        self._rest = self.shape[1:]
        self._dtype, self._kind = _KINDS[datatype]
        self._decode = _DECODERS[self._kind].decode
        self._nullable = nullable and self._kind is float

    def read(self, given: InferInput, max_rows: int) -> NDArray[Any]:
        """The array, its first dimension the rows; raises `BadRequest` that names the input."""
        if given.datatype != self.datatype:
            raise self._bad(f"has datatype {given.datatype}, the model takes {self.datatype}")
        shape = given.shape
        if shape[1:] != self._rest or not shape or shape[0] < 1:
            shape = self._shape_of(shape)
        if shape[0] > max_rows:
            raise self._bad(f"has {shape[0]} rows, a request may have {max_rows}")
        try:
            values = self._decode(given.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            values = self._nested(given)
        if len(values) != math.prod(shape):
            raise self._bad(
                f"has {len(values)} values, its shape {given.shape} needs {math.prod(given.shape)}"
            )
        return self._array(values).reshape(shape)

    def _array(self, values: list[Any]) -> NDArray[Any]:
        try:
            if self._dtype is not np.float32:
                return np.array(values, dtype=self._dtype)
            with np.errstate(over="raise"):
                return np.array(values, dtype=self._dtype)
        except (OverflowError, FloatingPointError):
            raise self._bad(f"holds a number out of the range of {self.datatype}") from None

    def _shape_of(self, shape: list[int]) -> list[int]:
        """`shape` as the signature has it; a column may come as [N] or [N,1]."""
        for candidate in (shape, [*shape, 1], shape[:-1] if shape[-1:] == [1] else shape):
            if len(candidate) == len(self.shape) and all(
                got >= 1 and wanted in (-1, got) for got, wanted in zip(candidate, self.shape, strict=True)
            ):
                return candidate
        raise self._bad(f"has shape {shape}, the model takes {self.shape} (-1: one or more)")

    def _nested(self, given: InferInput) -> list[Any]:
        """The values of nested lists; a wrong one is told with its place."""
        try:
            values = msgspec.json.decode(given.data)
        except RecursionError:
            raise self._bad("has data that is nested too deeply") from None
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise self._bad(f"has data that cannot be read: {error}") from None
        if not isinstance(values, list):
            raise self._bad("has data that is not a list")
        # Only a list of lists is nested; a flat one of wrong values goes on to be told so.
        depth = 1
        while depth < len(given.shape) and values and isinstance(values[0], list):
            size = given.shape[depth]
            for place, value in enumerate(values):
                if not isinstance(value, list) or len(value) != size:
                    raise self._bad(
                        f"has data that does not nest as its shape {given.shape} says, at {place}"
                    )
            values = [value for inner in values for value in inner]
            depth += 1
        for place, value in enumerate(values):
            self._check(place, value)
        return [math.nan if value is None else value for value in values]

    def _check(self, place: int, value: Any) -> None:
        wanted = _WORDS[self._kind]
        if value is None:
            if self._nullable:
                return
            raise self._bad(
                f"holds null at {place}: the model was not verified with missing values, send {wanted}"
            )
        good = isinstance(value, self._kind) or (self._kind is float and isinstance(value, int))
        if not good or (isinstance(value, bool) and self._kind is not bool):
            shown = repr(value)
            shown = shown if len(shown) <= 40 else shown[:37] + "..."
            raise self._bad(f"holds {shown} at {place}, {self.datatype} takes {wanted}")

    def _bad(self, text: str) -> BadRequest:
        return BadRequest(f"input '{self.name}' {text}")


class Signature:
    """The inputs and outputs of a model, as requests to it are read by."""

    def __init__(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], nullable: Collection[str] = ()
    ) -> None:
        """`nullable` names the floating-point inputs in which null means a missing value."""
        self.inputs = {t.name: InputReader(t.name, t.datatype, t.shape, t.name in nullable) for t in inputs}
        self.outputs = {t.name: t.datatype for t in outputs}
        self.output_shapes = {t.name: list(t.shape) for t in outputs}

    def read(self, request: InferRequest, max_rows: int) -> dict[str, NDArray[Any]]:
        """One array for each input, all of as many rows; raises `BadRequest`."""
        arrays: dict[str, NDArray[Any]] = {}
        rows = 0
        for given in request.inputs:
            reader = self.inputs.get(given.name)
            if reader is None:
                raise BadRequest(f"input '{given.name}' is unknown, the model takes {', '.join(self.inputs)}")
            if given.name in arrays:
                raise BadRequest(f"input '{given.name}' is there twice")
            array = arrays[given.name] = reader.read(given, max_rows)
            if rows not in (0, array.shape[0]):
                first = request.inputs[0].name
                raise BadRequest(
                    f"input '{given.name}' has {array.shape[0]} rows, input '{first}' has {rows}"
                )
            rows = array.shape[0]
        if len(arrays) != len(self.inputs):
            missing = [name for name in self.inputs if name not in arrays]
            raise BadRequest(f"input '{missing[0]}' is missing, the model takes {', '.join(self.inputs)}")
        return arrays

    def wanted(self, request: InferRequest) -> list[str]:
        """Names of the outputs that the request asks for: all when it names none."""
        if not request.outputs:
            return list(self.outputs)
        names = [output.name for output in request.outputs]
        for output in request.outputs:
            if output.name not in self.outputs:
                raise BadRequest(
                    f"output '{output.name}' is unknown, the model has {', '.join(self.outputs)}"
                )
            if output.parameters and output.parameters.get("binary_data"):
                raise BadRequest(
                    f"output '{output.name}' is asked for as binary data, this server speaks JSON"
                )
        if len(set(names)) != len(names):
            raise BadRequest("an output is asked for twice")
        return names

    def answer(
        self, model: str, version: str, request: InferRequest, results: dict[str, NDArray[Any]]
    ) -> bytes:
        """The V2 answer as JSON. A number that is not finite becomes null: JSON has no other word for it."""
        outputs = [
            InferOutput(name, self.outputs[name], list(array.shape), array.ravel().tolist())
            for name, array in results.items()
        ]
        return encode(InferResponse(model, version, outputs, request.id, request.parameters))
