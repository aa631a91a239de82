"""Messages between server and model: what is sent arrives, and what is no message is refused."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from millrace.serving.python.child.millrace_process import frames


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    yield here, there
    here.close()
    there.close()


ARRAYS = {
    "numbers": np.array([[1.5, np.nan], [-np.inf, 0.1]]),
    "strided": np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],
    "big endian": np.array([1, 2, 3], ">i8"),
    "small": np.array([[1], [255]], np.uint8),
    "flags": np.array([True, False]),
    "text": np.array([["", "ü"], ["line\nbreak", "\0"]], object),
    "unicode": np.array(["a", "bc"]),
    "nothing": np.zeros((0, 3)),
}


def test_arrays_arrive_as_they_were_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    sender = threading.Thread(target=frames.send, args=(ends[0], {"say": "ü"}, ARRAYS))
    sender.start()
    message, got = frames.receive(ends[1])
    sender.join()
    assert (message, list(got)) == ({"say": "ü"}, list(ARRAYS))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].shape == array.shape
    # A model may change what it is given.
    got["numbers"][0, 0] = 2


def test_objects_are_never_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(TypeError, match="text is wanted, not dict"):
        frames.send(ends[0], {}, {"x": np.array([{}], object)})
    with pytest.raises(TypeError, match="complex128"):
        frames.send(ends[0], {}, {"x": np.array([1j])})


def one(datatype: object = "FP64", shape: object = (1,), size: object = 8, name: object = "x") -> bytes:
    head = json.dumps({"arrays": [[name, datatype, shape, size]]}).encode()
    return frames.HEAD.pack(len(head), 8) + head + b"\0" * 8


@pytest.mark.parametrize(
    "content",
    [
        frames.HEAD.pack(2, 0) + b"[]",
        frames.HEAD.pack(2, 0) + b"{}",
        frames.HEAD.pack(1, 0) + b"\xff",
        frames.HEAD.pack(frames.MOST_JSON + 1, 0),
        frames.HEAD.pack(2, frames.MOST_BYTES + 1),
        frames.HEAD.pack(20_000, 0) + b"[" * 20_000,
        one("OBJECT"),
        one(None),
        one(shape=[2]),
        one(shape=[-1]),
        one(shape=[1.0]),
        one(shape=7),
        one(size=9),
        one(size=-8),
        one(size="8"),
        one("BYTES", [3]),
        one("BYTES", [1], 8).replace(b"\0" * 8, b"\5\0\0\0abcd"),
        one("BYTES", [1], 8).replace(b"\0" * 8, b"\4\0\0\0\xff\xff\xff\xff"),
    ],
)
def test_what_is_no_message_is_refused(content: bytes, ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].sendall(content)
    with pytest.raises(frames.BadMessage):
        frames.receive(ends[1], time.monotonic() + 5)


def test_an_end_that_is_silent_or_gone_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].sendall(one()[:-1])
    with pytest.raises(TimeoutError):
        frames.receive(ends[1], time.monotonic() + 0.05)
    ends[0].sendall(one()[:5])
    ends[0].close()
    with pytest.raises((EOFError, frames.BadMessage)):
        frames.receive(ends[1], time.monotonic() + 5)
