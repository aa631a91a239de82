"""The fast path: one row of JSON, the way most requests come, with as few Python objects as can be.

It takes or leaves a request as a whole. What it does not answer has not been counted: it goes the ordinary
way, which says what is wrong, or waits for what takes longer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec

from millrace.serving.breaker import CLOSED
from millrace.serving.calls import Signature
from millrace.serving.encodings import WORTH
from millrace.serving.tensors import InputReader
from millrace.serving.v2 import JSON_SIZE

if TYPE_CHECKING:
    from millrace.serving.served import Served

# Larger bodies are read beside the event loop: others would notice.
LARGE_BYTES = 16 * 1024
_MOST_VALUES = 128
# Headers that change what a body means.
_SPECIAL = (b"content-encoding", JSON_SIZE)
_clock = time.perf_counter


class RowCodec(Protocol):
    """One protocol, for single rows of one model. `write` follows the `read` of its row."""

    def read(self, body: bytes) -> Sequence[Sequence[Any]]:
        """Flat values of all inputs; any exception: this is something else than a row, or a wrong one."""

    def write(self, outputs: Sequence[list[Any]]) -> bytes:
        """The answer to what was read last, from the flat values of all outputs."""


def has_short_rows(signature: Signature) -> bool:
    """Whether a row of this signature has a short form: flat inputs, and few values in each output."""
    if any(len(reader.shape) != 2 for reader in signature.inputs.values()):
        return False
    shapes = [tensor.shape[1:] for tensor in signature.outputs.values()]
    if any(len(rest) > 1 or -1 in rest for rest in shapes):
        return False
    return sum(rest[0] if rest else 1 for rest in shapes) <= _MOST_VALUES


def flat(reader: InputReader) -> Any:
    """What one row has of an input: the type of a list, for msgspec."""
    kind, width = reader.kind, reader.width
    return Annotated[list[kind], msgspec.Meta(min_length=width, max_length=width)]  # type: ignore[valid-type]


class FastPath:
    """Answers single rows of one live model. For the event loop."""

    __slots__ = ("_breaker", "_deadline", "_metrics", "_read", "_version", "_write", "late")

    def __init__(self, served: Served, codec: RowCodec) -> None:
        self._version = served.version
        self._breaker = served.breaker
        self._metrics = served.metrics
        self._deadline = served.policy.deadline_seconds
        self._read, self._write = codec.read, codec.write
        # When the row that was asked for last began to be read, where it was computed after its deadline.
        self.late: float | None = None

    def answer(self, body: bytes) -> bytes | None:
        """The body of a 200; None when the request has to go the ordinary way."""
        version, breaker = self._version, self._breaker
        run_row = version.run_row
        if run_row is None or breaker.state != CLOSED or len(body) > LARGE_BYTES:
            return None
        began = _clock()
        try:
            columns = self._read(body)
            read = _clock()
            outputs = run_row(columns)
            computed = _clock()
            content = self._write(outputs)
        except Exception:  # whose fault it is and what to say of it, the ordinary way finds out
            return None
        if computed - began > self._deadline:
            self.late = began
            return None
        if len(content) >= WORTH:  # the client may take it compressed
            return None
        version.used = computed
        breaker.calls += 1
        self._metrics.answered(began, read, read, computed, 1)
        return content


class Rows:
    """The fast paths of all live models, a listener's shortcut."""

    def __init__(self) -> None:
        # By the targets of requests. Replaced as a whole.
        self.paths: dict[bytes, FastPath] = {}

    @staticmethod
    def is_for(method: bytes, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request with this head may be asked for here."""
        return method == b"POST" and not any(name in headers for name in _SPECIAL)

    def body(self, target: bytes, body: bytes) -> bytes | None:
        """The body of a 200 in JSON; None when the request has to go the ordinary way."""
        path = self.paths.get(target)
        return path.answer(body) if path is not None else None
