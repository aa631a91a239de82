"""Model versions: what a bundle becomes in memory, and which of many stay there."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.models import Bundle, verify
from millrace.models.bundle import MODEL
from millrace.serving.calls import Signature
from millrace.serving.records import Record
from millrace.serving.runtimes import READS_MISSING, RunRow, Runtime, load_runtime, platform_of

log = logging.getLogger("millrace.serving")
Arrays = dict[str, NDArray[Any]]
# A call that takes longer than this runs beside the event loop: others would notice.
_INLINE_S = 0.001
_INLINE_ROWS = 256
_PAGE = os.sysconf("SC_PAGE_SIZE")


class ModelVersion:
    """One version of a model. `busy` counts requests that run beside the event loop.

    Its runtime is in memory or not (`runtime` is None): `Shelf.take` brings it.
    """

    def __init__(self, name: str, version: str, bundle: Bundle, signature: Signature) -> None:
        self.name = name
        self.version = version
        self.digest = bundle.digest
        self.bundle = bundle
        self.signature = signature
        # Bytes that it takes in memory: its model file's, and more once that was seen.
        self.size = (bundle.path / MODEL).stat().st_size if (bundle.path / MODEL).exists() else 0
        self.busy = 0
        # When it was used last, for the shelf (`perf_counter`).
        self.used = 0.0
        self.runtime: Runtime | None = None
        # The runtime's short way for a single row, where it has one.
        self.run_row: RunRow | None = None
        self.platform = platform_of(bundle)
        # Rows that may be computed on the event loop, because it takes no time to speak of.
        self.inline_rows = 0
        self._sample: Arrays = {}
        self._loading = threading.Lock()

    def load(self, check: bool = False) -> None:
        """Bring the runtime into memory, warm; with `check` its verification rows must reproduce.

        Raises InvalidBundle, VerificationFailed.
        """
        with self._loading:
            if self.runtime is None or check:
                self._load(check)

    def _load(self, check: bool) -> None:
        before = _resident()
        runtime = self.runtime or load_runtime(self.bundle)
        if check:
            verify(self.bundle, runtime)
        rows = self.bundle.verification()
        one = {name: array[:1].copy() for name, array in rows.inputs.items()}
        # The first calls are slow; they are ours. One row takes another way than many.
        runtime.run(rows.inputs)
        runtime.run(one)
        many = min(rows.rows, 2000)
        seconds = _fastest(lambda: runtime.run(one))
        each = _fastest(lambda: runtime.run({n: a[:many] for n, a in rows.inputs.items()})) / many
        self.inline_rows = 0
        if runtime.inline and seconds < _INLINE_S:
            self.inline_rows = max(1, min(_INLINE_ROWS, int(_INLINE_S / each)))
        self._sample = one
        self.size = max(self.size, _resident() - before)
        self.run_row = getattr(runtime, "run_row", None) if self.inline_rows else None
        self.runtime = runtime

    def drop(self) -> None:
        """Let the memory go."""
        with self._loading:
            runtime, self.runtime, self.run_row, self._sample = self.runtime, None, None, {}
        if runtime:
            runtime.close()

    def compute(self, inputs: Arrays, outputs: Sequence[str], timeout: float) -> Arrays:
        """What the runtime says; loads it when it is not there. For threads, not the event loop.

        Raises TimeoutError, and whatever else the runtime raises.
        """
        runtime = self.runtime
        if runtime is None:
            self.load()
            runtime = self.runtime
            assert runtime
        return runtime.run(inputs, outputs, timeout=timeout)

    def is_well(self, timeout: float) -> bool:
        """Whether it still computes a row that it is known to compute."""
        runtime, sample = self.runtime, self._sample
        if runtime is None or not sample:
            return False
        try:
            runtime.run(sample, timeout=timeout)
        except Exception as error:
            log.error("%s %s does not compute a row that it has computed: %s", self.name, self.version, error)
            return False
        return True

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": self.platform,
            "inputs": [
                {"name": t.name, "datatype": t.datatype, "shape": t.shape}
                for t in self.signature.inputs.values()
            ],
            "outputs": [
                {"name": t.name, "datatype": t.datatype, "shape": t.shape}
                for t in self.signature.outputs.values()
            ],
            "parameters": {"digest": self.digest},
        }


def _resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _fastest(call: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of several calls."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
        if taken[-1] > 0.05:
            break
    return min(taken)


class Shelf:
    """Keeps the model versions in memory within limits: the least recently used ones stay on the disk."""

    def __init__(self, most: int, most_bytes: int, max_rows: int) -> None:
        """`most` versions, which take `most_bytes` together; requests have `max_rows`."""
        self._most = most
        self._most_bytes = most_bytes
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._bringing = threading.Lock()
        self._loaded: list[ModelVersion] = []

    @property
    def loaded(self) -> int:
        """Versions in memory."""
        return len(self._loaded)

    def version(self, record: Record, version: str, bundle: Bundle, check: bool) -> ModelVersion:
        """A version of a bundle: in memory if there is room, and always with `check`."""
        rows = bundle.verification()
        missing = [
            name
            for name, array in rows.inputs.items()
            if array.dtype.kind == "f"
            and (bundle.manifest.runtime in READS_MISSING or bool(np.isnan(array).any()))
        ]
        signature = Signature(bundle.inputs, bundle.outputs, missing, self._max_rows)
        made = ModelVersion(record.model, version, bundle, signature)
        if check or self._fits(made):
            self.take(made, check)
        return made

    def take(self, version: ModelVersion, check: bool = False) -> None:
        """Bring a version into memory, and others out of it. Raises InvalidBundle, VerificationFailed."""
        # One at a time: two would need the memory of both at once.
        with self._bringing:
            version.load(check)
        version.used = time.perf_counter()
        with self._lock:
            if version not in self._loaded:
                self._loaded.append(version)
            leaving = self._surplus(version)
        for each in leaving:
            log.info("%s %s stays on the disk until it is asked for", each.name, each.version)
            each.drop()

    def forget(self, version: ModelVersion) -> None:
        """A version is no longer served."""
        with self._lock:
            if version in self._loaded:
                self._loaded.remove(version)
        version.drop()

    def _fits(self, version: ModelVersion) -> bool:
        with self._lock:
            size = sum(each.size for each in self._loaded) + version.size
            return not self._loaded or (len(self._loaded) < self._most and size <= self._most_bytes)

    def _surplus(self, newest: ModelVersion) -> list[ModelVersion]:
        leaving: list[ModelVersion] = []
        size = sum(each.size for each in self._loaded)
        for each in sorted(self._loaded, key=lambda v: v.used):
            if len(self._loaded) <= self._most and size <= self._most_bytes:
                break
            if each is not newest and not each.busy:
                self._loaded.remove(each)
                leaving.append(each)
                size -= each.size
        return leaving
