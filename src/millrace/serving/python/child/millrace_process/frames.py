"""Messages between the server and a model's process: a line of JSON, then the bytes of its arrays.

Both ends use this file; it imports nothing but numpy. What comes from the other end is checked, never run.
"""

import json
import math
import socket
import struct
import time
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
DTYPES = {
    "BOOL": "|b1",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
HEAD = struct.Struct("<IQ")  # bytes of the JSON, and of everything after it
LENGTH_BYTES = 4  # before each text
MOST_JSON = 1 << 20
MOST_BYTES = 1 << 30


class BadMessage(Exception):
    """What came is not a message of this kind."""


def send(sock: socket.socket, message: dict[str, Any], arrays: Arrays | None = None) -> None:
    """Send a message with arrays by name; text as object arrays of str. Raises OSError, TypeError."""
    described, parts = [], []
    for name, array in (arrays or {}).items():
        datatype, content = encode(array)
        described.append([name, datatype, list(array.shape), len(content)])
        parts.append(content)
    head = json.dumps({**message, "arrays": described}).encode()
    body = b"".join(parts)
    sock.sendall(HEAD.pack(len(head), len(body)) + head)
    if body:
        sock.sendall(body)


def receive(
    sock: socket.socket, end: float | None = None, most: int = MOST_BYTES
) -> tuple[dict[str, Any], Arrays]:
    """The next message and its arrays by name; `end` is a time of `time.monotonic`.

    Raises EOFError when the other end is gone, TimeoutError, BadMessage, OSError.
    """
    head, body = HEAD.unpack(take(sock, HEAD.size, end))
    if head > MOST_JSON or body > most:
        raise BadMessage(f"a message of {head + body} bytes is too large")
    try:
        message = json.loads(take(sock, head, end))
        described = message.pop("arrays")
        content = memoryview(take(sock, body, end))
        arrays: Arrays = {}
        place = 0
        for name, datatype, shape, size in described:
            if not isinstance(size, int) or size < 0 or place + size > body:
                raise BadMessage(f"array {name!r} has a wrong size")
            arrays[str(name)] = decode(datatype, shape, content[place : place + size])
            place += size
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadMessage(f"a message cannot be read: {error}") from error
    return message, arrays


def take(sock: socket.socket, count: int, end: float | None) -> bytearray:
    """Exactly `count` bytes."""
    taken = bytearray(count)
    view, got = memoryview(taken), 0
    while got < count:
        sock.settimeout(None if end is None else max(0.001, end - time.monotonic()))
        size = sock.recv_into(view[got:])
        if not size:
            raise EOFError("the other end is gone")
        got += size
        if end is not None and time.monotonic() > end:
            raise TimeoutError
    return taken


def encode(array: np.ndarray) -> tuple[str, bytes]:
    """Datatype and bytes of an array. Raises TypeError for what has none."""
    if array.dtype.kind in "OU":
        texts = []
        for value in array.ravel().tolist():
            if not isinstance(value, str):
                raise TypeError(f"text is wanted, not {type(value).__name__}")
            texts.append(value.encode())
        lengths = np.array([len(text) for text in texts], "<u4")
        return "BYTES", lengths.tobytes() + b"".join(texts)
    name = _NAMES.get(array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype)
    if name is None:
        raise TypeError(f"arrays of {array.dtype} cannot be sent")
    return name, np.ascontiguousarray(array, DTYPES[name]).tobytes()


def decode(datatype: str, shape: list[int], content: memoryview) -> np.ndarray:
    """The array. Raises ValueError."""
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("a shape holds counts")
    count = math.prod(shape)
    if datatype != "BYTES":
        dtype = np.dtype(DTYPES[datatype])
        if count * dtype.itemsize != len(content):
            raise ValueError("the bytes do not fill the shape")
        return np.frombuffer(content, dtype).reshape(shape)
    if count * LENGTH_BYTES > len(content):
        raise ValueError("the bytes do not fill the shape")
    lengths = np.frombuffer(content[: count * LENGTH_BYTES], "<u4").tolist()
    if sum(lengths) != len(content) - count * LENGTH_BYTES:
        raise ValueError("the texts do not fill their bytes")
    texts, place = np.empty(count, object), count * LENGTH_BYTES
    for number, length in enumerate(lengths):
        texts[number] = str(content[place : place + length], "utf-8")
        place += length
    return texts.reshape(shape)
