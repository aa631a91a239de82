"""A single row in V1's JSON, for the fast path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec.structs import astuple

from millrace.serving.calls import Signature
from millrace.serving.fast import widths
from millrace.serving.tensors import InputReader
from millrace.serving.v1 import rows_decoder
from millrace.serving.v2 import encode


class V1Row:
    """Reads `instances` of one row, an object by column or the list of a model's only input."""

    @classmethod
    def of(cls, signature: Signature) -> V1Row | None:
        """None when a row of this signature has no short form."""
        readers = list(signature.inputs.values())
        if not widths(signature) or (len(readers) > 1 and any(reader.width > 1 for reader in readers)):
            return None
        return cls(signature, readers)

    def __init__(self, signature: Signature, readers: list[InputReader]) -> None:
        self._whole = readers[0].width > 1
        row = _list(readers[0]) if self._whole else None
        self._decode = rows_decoder(readers, row)
        self._outputs = [
            (tensor.name, len(tensor.shape) == 1, width)
            for tensor, width in zip(signature.outputs.values(), widths(signature) or (), strict=True)
        ]

    def read(self, body: bytes) -> Sequence[Sequence[Any]]:
        """As `RowCodec` says."""
        asked: Any = self._decode(body)
        (row,) = asked.instances
        if asked.inputs or asked.dataframe_records or asked.dataframe_split:
            raise ValueError("the request has its rows in two forms")
        return (row,) if self._whole else list(zip(astuple(row), strict=False))

    def write(self, outputs: Sequence[Sequence[Any]]) -> bytes:
        """As `RowCodec` says."""
        columns: dict[str, Any] = {}
        for (name, single, width), values in zip(self._outputs, outputs, strict=True):
            if len(values) != width:
                raise ValueError(f"output {name!r} has {len(values)} values, not {width}")
            columns[name] = values[0] if single else values
        row = columns if len(columns) > 1 else columns.popitem()[1]
        return encode({"predictions": [row]})


def _list(reader: InputReader) -> Any:
    kind, width = reader.kind, reader.width
    return Annotated[list[kind], msgspec.Meta(min_length=width, max_length=width)]  # type: ignore[valid-type]
