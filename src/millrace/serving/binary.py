"""Tensors as bytes, as V2's binary-tensor extension and gRPC carry them: little-endian, row by row."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.serving.tensors import InputReader


def read(reader: InputReader, data: memoryview, shape: list[int]) -> NDArray[Any]:
    """The array of one input; raises `BadRequest`."""
    if reader.datatype == "BYTES":
        return reader.of_texts(_split(reader, data), shape)
    return reader.of_bytes(data, shape)


def write(array: NDArray[Any]) -> bytes:
    """The bytes of an output; text is UTF-8, each with its length before it."""
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    texts = [str(text).encode() for text in array.ravel().tolist()]
    return b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))


def _split(reader: InputReader, data: memoryview) -> list[bytes]:
    """Texts with four bytes of length before each."""
    texts: list[bytes] = []
    place, end = 0, len(data)
    while place < end:
        if end - place < 4:
            raise reader.bad(f"ends within the length of text {len(texts)}")
        (size,) = struct.unpack_from("<I", data, place)
        place += 4
        if size > end - place:
            raise reader.bad(f"ends within text {len(texts)}, which should have {size} bytes")
        texts.append(bytes(data[place : place + size]))
        place += size
    return texts
