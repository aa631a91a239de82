"""A single row in V1's JSON, for the fast path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from millrace.serving.calls import Signature
from millrace.serving.fast import flat, has_short_rows
from millrace.serving.tensors import InputReader
from millrace.serving.v1 import rows_decoder
from millrace.serving.v2 import encode


class V1Row:
    """Reads `instances` of one row, an object by column or the list of a model's only input."""

    @classmethod
    def of(cls, signature: Signature) -> V1Row | None:
        """None when a row of this signature has no short form."""
        readers = list(signature.inputs.values())
        single = len(readers) == 1 or all(reader.width == 1 for reader in readers)
        return cls(signature, readers) if single and has_short_rows(signature) else None

    def __init__(self, signature: Signature, readers: list[InputReader]) -> None:
        self._whole = readers[0].width > 1
        row = flat(readers[0]) if self._whole else None
        self._decode = rows_decoder(readers, row)
        # Names, and whether a row has a value there in the place of a list.
        self._outputs = [(tensor.name, len(tensor.shape) == 1) for tensor in signature.outputs.values()]

    def read(self, body: bytes) -> Sequence[Sequence[Any]]:
        """As `RowCodec` says."""
        asked: Any = self._decode(body)
        (row,) = asked.instances
        if asked.inputs or asked.dataframe_records or asked.dataframe_split:
            raise ValueError("the request has its rows in two forms")
        return (row,) if self._whole else list(zip(astuple(row), strict=False))

    def write(self, outputs: Sequence[list[Any]]) -> bytes:
        """As `RowCodec` says."""
        columns: dict[str, Any] = {
            name: values[0] if single else values
            for (name, single), values in zip(self._outputs, outputs, strict=True)
        }
        row = columns if len(columns) > 1 else columns.popitem()[1]
        return encode({"predictions": [row]})
