"""The runtime `pmml`: a document in the host's PMML4S sidecar."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from millrace.models import Bundle, InvalidBundle
from millrace.models.bundle import DOCUMENT
from millrace.serving.beside import checked, most_bytes
from millrace.serving.pmml.attached import Attached, Described, Refused, attach
from millrace.serving.pmml.program import NoProgram
from millrace.serving.pmml.sidecar import Connect, connector
from millrace.serving.python.child.millrace_process import frames
from millrace.serving.runtimes import Unavailable

log = logging.getLogger("millrace.serving")
#: Seconds for a JVM to come up and read the document, and for a call that has no deadline.
START_SECONDS = 60.0
CALL_SECONDS = 60.0
#: Between two attempts to have a document kept again.
REVIVE_SECONDS = 1.0
#: Connections of a document that wait for the next call; more come and go with a burst.
MOST_IDLE = 4
Arrays = dict[str, NDArray[Any]]
_GONE = (EOFError, OSError, frames.BadMessage)


class PmmlModel:
    """A document of which the sidecar computes rows. `run` may be called from several threads at once.

    Each call in flight has a connection of its own. One more is never asked: it keeps the document there,
    since a call that waits no longer closes its own.
    """

    platform = "pmml"
    inline = False

    def __init__(self, bundle: Bundle, connect: Connect | None = None) -> None:
        """Raises InvalidBundle when the sidecar does not take the document, or is not there."""
        self._bundle = bundle
        self._digest = bundle.manifest.files[DOCUMENT]
        self._outputs = {tensor.name: tensor for tensor in bundle.outputs}
        self._lock = threading.Lock()
        self._idle: list[Attached] = []
        self._closed = False
        self._reviving = False
        self._revived = -math.inf
        try:
            self._connect = connect or connector()
            self._lease = self._attach(time.monotonic() + START_SECONDS)
        except (Refused, NoProgram) as error:
            raise InvalidBundle(str(error)) from error
        except _GONE as error:
            raise InvalidBundle(f"the PMML4S sidecar does not answer: {_told(error)}") from error
        try:
            _check(bundle, self._lease.described)
        except InvalidBundle:
            self._lease.close()
            raise

    def run(
        self,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
    ) -> Arrays:
        """Outputs by name. After `timeout` seconds the call is abandoned; the sidecar then stops it too.

        Raises TimeoutError, Unavailable when the sidecar is not there or ends, and RuntimeError with the row
        that it cannot compute.
        """
        end = time.monotonic() + (CALL_SECONDS if timeout is None else timeout)
        names = list(outputs or self._outputs)
        declared = [self._outputs[name] for name in names]
        rows = len(next(iter(inputs.values())))
        attached = self._take(end)
        try:
            message, found = attached.ask(dict(inputs), names, end, most_bytes(declared, rows))
        except TimeoutError:
            attached.close()
            raise
        except _GONE as error:
            attached.close()
            raise Unavailable(f"the PMML4S sidecar ended: {_told(error)}", retry_after=1) from None
        except BaseException:
            attached.close()
            raise
        self._give_back(attached)
        if message.get("ok"):
            return checked(found, declared, rows, "the PMML4S sidecar")
        if message.get("late"):
            raise TimeoutError("the rows were not computed in time")
        raise RuntimeError(str(message.get("error", "it failed without a word"))[:600])

    def close(self) -> None:
        """Let go of the document."""
        with self._lock:
            self._closed = True
            idle, self._idle = [*self._idle, self._lease], []
        for attached in idle:
            attached.close()

    def _attach(self, end: float) -> Attached:
        return attach(self._connect, self._digest, lambda: self._bundle.read(DOCUMENT), end)

    def _take(self, end: float) -> Attached:
        """A connection that nobody uses, or a new one: after the sidecar ended, that brings it back."""
        if self._lease.is_stale:
            self._revive()
        while True:
            with self._lock:
                attached = self._idle.pop() if self._idle else None
            if attached is None:
                break
            if not attached.is_stale:
                return attached
            attached.close()
        try:
            return self._attach(end)
        except TimeoutError:
            raise Unavailable("the PMML4S sidecar is being started", retry_after=1) from None
        except (Refused, NoProgram, InvalidBundle, *_GONE) as error:
            raise Unavailable(f"the PMML4S sidecar is not there: {_told(error)}", retry_after=1) from None

    def _revive(self) -> None:
        """Have the document kept again, beside: it may take longer to read than a call may take."""
        with self._lock:
            if self._reviving or self._closed or time.monotonic() < self._revived + REVIVE_SECONDS:
                return
            self._reviving = True

        def do() -> None:
            try:
                lease = self._attach(time.monotonic() + START_SECONDS)
                with self._lock:
                    leaving, self._lease = (lease, self._lease) if self._closed else (self._lease, lease)
                leaving.close()
            except (Refused, NoProgram, InvalidBundle, *_GONE) as error:
                log.error("a document of %s is not there again: %s", self._bundle.digest[:19], _told(error))
            finally:
                self._revived = time.monotonic()
                self._reviving = False

        threading.Thread(target=do, name="pmml4s-revive", daemon=True).start()

    def _give_back(self, attached: Attached) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < MOST_IDLE:
                self._idle.append(attached)
                return
        attached.close()


def _check(bundle: Bundle, described: Described) -> None:
    """Raises InvalidBundle when the bundle declares another signature than the document has."""
    declared = {(tensor.name, tensor.datatype, tensor.shape) for tensor in bundle.inputs}
    wanted = {(name, datatype, (-1, 1)) for name, datatype in described.inputs}
    if declared != wanted:
        name, datatype, shape = sorted(declared ^ wanted)[0]
        raise InvalidBundle(
            f"{DOCUMENT} and the bundle differ about input {name!r}, {datatype} {list(shape)}"
        )
    gives = outputs_of(described)
    for tensor in bundle.outputs:
        if gives.get(tensor.name) != (tensor.datatype, tensor.shape):
            raise InvalidBundle(
                f"{DOCUMENT} has no output {tensor.name!r}, {tensor.datatype} {list(tensor.shape)}; it gives "
                + ", ".join(f"{name} {datatype}" for name, (datatype, _) in gives.items())
            )


def outputs_of(described: Described) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Datatype and shape of every output that a document can give."""
    gives: dict[str, tuple[str, tuple[int, ...]]] = {
        name: (datatype, (-1, 1)) for name, datatype in described.others
    }
    gives[described.main] = (described.labels, (-1,)) if described.main == "label" else ("FP64", (-1, 1))
    if described.probabilities:
        gives["probabilities"] = ("FP64", (-1, len(described.classes)))
    gives["valid"] = ("BOOL", (-1,))
    return gives


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
