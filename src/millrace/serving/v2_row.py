"""A single row in V2's JSON, for the fast path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from millrace.serving.calls import Signature
from millrace.serving.fast import flat, has_short_rows
from millrace.serving.tensors import InputReader
from millrace.serving.v2 import InferOutput, InferResponse, encode


class V2Row:
    """Reads requests of one row that name all inputs in their order and ask for all outputs."""

    @classmethod
    def of(cls, model: str, version: str, signature: Signature) -> V2Row | None:
        """None when a row of this signature has no short form."""
        return cls(model, version, signature) if has_short_rows(signature) else None

    def __init__(self, model: str, version: str, signature: Signature) -> None:
        kinds = tuple(_column(reader) for reader in signature.inputs.values())
        fields: list[Any] = [("inputs", tuple[kinds]), ("id", str | None, None)]  # type: ignore[valid-type]
        # Null or not there: these are for who reads everything.
        fields += [("outputs", None, None), ("parameters", None, None)]
        self._decode = msgspec.json.Decoder(msgspec.defstruct("Asked", fields, gc=False)).decode
        outputs = [
            InferOutput(tensor.name, tensor.datatype, [1, *tensor.shape[1:]], [])
            for tensor in signature.outputs.values()
        ]
        # Made once; each answer fills it anew.
        self._response = InferResponse(model, version, outputs)

    def read(self, body: bytes) -> Sequence[Sequence[Any]]:
        """As `RowCodec` says."""
        asked: Any = self._decode(body)
        self._response.id = asked.id
        return [each.data for each in asked.inputs]

    def write(self, outputs: Sequence[list[Any]]) -> bytes:
        """As `RowCodec` says."""
        for output, values in zip(self._response.outputs, outputs, strict=True):
            output.data = values
        return encode(self._response)


def _column(reader: InputReader) -> type:
    """An input of a row: its own name and datatype, the shape of a row, flat data."""
    width = reader.width
    name, word = Literal[reader.name], Literal[reader.datatype]  # type: ignore[name-defined]
    shape: Any = tuple[Literal[1], Literal[width]]  # type: ignore[valid-type]
    if width == 1:  # a column may come as [1] or [1,1]
        shape = Annotated[list[Literal[1]], msgspec.Meta(min_length=1, max_length=2)]
    fields: list[Any] = [("name", name), ("shape", shape), ("datatype", word), ("data", flat(reader))]
    return msgspec.defstruct("Column", [*fields, ("parameters", None, None)], gc=False)
