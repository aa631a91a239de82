"""The runtime `python`: a model version in a process of its own, killed at the deadline and started again."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from millrace.models import Bundle, InvalidBundle
from millrace.serving.beside import checked, most_bytes
from millrace.serving.python.child.millrace_process import frames
from millrace.serving.python.launch import Launcher, Process, local_launcher
from millrace.serving.runtimes import Unavailable

log = logging.getLogger("millrace.serving")
#: Seconds for loading the model, and for a call that has no deadline.
START_SECONDS = 120.0
CALL_SECONDS = 60.0
#: Seconds until a process is started again: at once, and longer each time it does not come up.
_PAUSES = (0.0, 1.0, 2.0, 5.0, 15.0, 30.0)
Arrays = dict[str, NDArray[Any]]


class PythonModel:
    """One process, which answers one call after the other. `run` may be called from several threads."""

    platform = "python"
    inline = False

    def __init__(self, bundle: Bundle, launch: Launcher | None = None) -> None:
        """Start the process and wait until the model is loaded. Raises InvalidBundle when it does not."""
        self._bundle = bundle
        self._launch = launch or _launcher()
        self._outputs = {tensor.name: tensor for tensor in bundle.outputs}
        self._calls = threading.Lock()
        self._closed = threading.Event()
        self._trouble = ""
        self._process: Process | None = self._start()

    def run(
        self,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
    ) -> Arrays:
        """Outputs by name. After `timeout` seconds the process is killed, and started again beside.

        Raises TimeoutError, Unavailable when the process is not there or ends, and RuntimeError with what the
        model's own code raised.
        """
        seconds = CALL_SECONDS if timeout is None else timeout
        end = time.monotonic() + seconds
        if not self._calls.acquire(timeout=max(0.0, seconds)):
            raise TimeoutError("other calls of this model took all the time")
        try:
            return self._run(dict(inputs), list(outputs or self._outputs), end)
        finally:
            self._calls.release()

    def close(self) -> None:
        """End the process."""
        self._closed.set()
        process, self._process = self._process, None
        if process:
            process.end()

    def _run(self, inputs: Arrays, outputs: list[str], end: float) -> Arrays:
        process = self._process
        if process is None:
            raise Unavailable(f"its process is being started again: {self._trouble}", retry_after=1)
        seconds = end - time.monotonic()
        try:
            process.connection.settimeout(max(0.001, seconds))
            frames.send(process.connection, {"outputs": outputs, "seconds": seconds}, inputs)
            rows = len(next(iter(inputs.values())))
            declared = [self._outputs[name] for name in outputs]
            message, found = frames.receive(process.connection, end, most_bytes(declared, rows))
            if message.get("ok"):
                return checked(found, declared, rows, "it")
        except TimeoutError:
            self._again(process, "it did not answer in time and was ended")
            raise TimeoutError("the model's process was ended") from None
        except (EOFError, OSError, frames.BadMessage) as error:
            gone = not isinstance(error, frames.BadMessage)
            raise Unavailable(self._again(process, str(error), gone), retry_after=1) from None
        if "ended" in message:
            raise Unavailable(self._again(process, f"its process {message['ended']}"), retry_after=1)
        if message.get("memory"):
            # What it still holds is not known.
            raise Unavailable(self._again(process, "it ran out of memory"), retry_after=1)
        raise RuntimeError(str(message.get("error", "it failed without a word"))[:600])

    def _start(self) -> Process:
        process = self._launch(self._bundle)
        try:
            message, _ = frames.receive(process.connection, time.monotonic() + START_SECONDS, most=0)
        except (EOFError, OSError, frames.BadMessage) as error:
            late = isinstance(error, TimeoutError)
            ended = process.end(gone=not late)
            ended = f"did not load within {START_SECONDS:g} s" if late else ended
            raise InvalidBundle(f"the model's process {ended or f'broke off: {error}'}") from error
        if not message.get("ready"):
            process.end()
            why = message.get("failed") or f"its process {message.get('ended')}, the log may say why"
            raise InvalidBundle(f"the model does not load: {why}")
        for lost in message.get("lost", []):
            log.warning("the process of %s: %s", self._bundle.digest[:19], lost)
        return process

    def _again(self, process: Process, trouble: str, gone: bool = False) -> str:
        """End a process, start another one beside, and say what was wrong."""
        self._process = None
        ended = process.end(gone)
        self._trouble = f"its process {ended}" if ended else trouble
        log.error("a model of %s: %s", self._bundle.digest[:19], self._trouble)
        if not self._closed.is_set():
            threading.Thread(target=self._revive, name="python-model", daemon=True).start()
        return self._trouble

    def _revive(self) -> None:
        tried = 0
        while not self._closed.wait(_PAUSES[min(tried, len(_PAUSES) - 1)]):
            try:
                process = self._start()
            except Exception as error:
                tried += 1
                self._trouble = str(error)
                log.error("a model of %s is not up again: %s", self._bundle.digest[:19], error)
                continue
            self._process = process
            if self._closed.is_set():
                self.close()
            return


def _launcher() -> Launcher:
    """On a site the processes are another user's, and another service starts them."""
    place = os.environ.get("MILLRACE_PYTHON_SOCKET")
    if not place:
        return local_launcher()
    from millrace.serving.python.isolated import isolated_launcher

    return isolated_launcher(place)
