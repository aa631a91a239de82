"""A connection of the sidecar that is for one document, and what the sidecar says the document is."""

from __future__ import annotations

import contextlib
import hashlib
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from millrace.serving.pmml.sidecar import Connect
from millrace.serving.python.child.millrace_process import frames

PROTOCOL = 1


class Refused(Exception):
    """The sidecar does not take a document; the text says why."""


class Described(msgspec.Struct, frozen=True):
    """What a document reads and gives, names with datatypes (FP64, or BYTES for text).

    `main` is `label` of the datatype `labels`, or `prediction`; `others` are further output fields of the
    document; `classes` is the order of `probabilities`, if it has them; `target` may be empty.
    """

    inputs: list[tuple[str, str]]
    others: list[tuple[str, str]]
    classes: list[str]
    main: str
    labels: str
    probabilities: bool
    target: str


class Attached:
    """A connection; one call at a time. Every method raises EOFError, TimeoutError, OSError, BadMessage."""

    def __init__(self, connect: Connect, digest: str, content: Callable[[], bytes], end: float) -> None:
        """`digest` is the document's sha256 (hex), `content` gives it if the sidecar has to be told.

        Until `end`, a time of `time.monotonic`. Raises Refused.
        """
        self._socket = connect()
        try:
            self._send({"protocol": PROTOCOL, "document": digest}, end)
            message, _ = frames.receive(self._socket, end)
            if most := message.get("wanted"):
                document = content()
                if len(document) > most:
                    raise Refused(
                        f"it has {len(document) >> 20} MB, and {most >> 20} may be: a quarter of the heap of "
                        "the PMML4S sidecar, which a site sets as `pmml_heap` among its sizes"
                    )
                self._send({}, end, {"document": np.frombuffer(document, np.uint8)})
                message, _ = frames.receive(self._socket, end)
            if "refused" in message:
                raise Refused(str(message["refused"]))
            try:
                self.described = msgspec.convert(message, Described)
            except msgspec.ValidationError as error:
                raise frames.BadMessage(f"what it says of the document cannot be read: {error}") from error
        except BaseException:
            self.close()
            raise

    @property
    def is_stale(self) -> bool:
        """Whether the other end is gone, or says what nobody asked for."""
        poll = select.poll()
        with contextlib.suppress(ValueError):
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0))
        return True

    def ask(
        self, inputs: frames.Arrays, outputs: Sequence[str], end: float, most: int
    ) -> tuple[dict[str, Any], frames.Arrays]:
        """The answer of at most `most` bytes: `ok` and the outputs, or `error`, or `late`."""
        self._send({"seconds": max(0.0, end - time.monotonic()), "outputs": list(outputs)}, end, inputs)
        return frames.receive(self._socket, end, most)

    def close(self) -> None:
        """Let go of the document: the sidecar keeps it as long as somebody is connected for it."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _send(self, message: dict[str, Any], end: float, arrays: frames.Arrays | None = None) -> None:
        self._socket.settimeout(max(0.001, end - time.monotonic()))
        frames.send(self._socket, message, arrays)


def attach(connect: Connect, digest: str, content: Callable[[], bytes], end: float) -> Attached:
    """An attached connection; a sidecar that was just ending is asked again."""
    try:
        return Attached(connect, digest, content, end)
    except (EOFError, ConnectionError):
        return Attached(connect, digest, content, end)


def describe(connect: Connect, document: bytes, seconds: float) -> Described:
    """What the sidecar says of a document. Raises Refused, and as Attached does."""
    digest = hashlib.sha256(document).hexdigest()
    attached = attach(connect, digest, lambda: document, time.monotonic() + seconds)
    attached.close()
    return attached.described
