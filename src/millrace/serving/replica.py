"""What a replica serves: versions are prepared, held, and switched to when their record arrives.

Loads take seconds and run in the caller's thread; requests see one dictionary that is replaced as a whole.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from millrace.models import Bundle
from millrace.serving.inference import ModelVersion
from millrace.serving.records import Record

log = logging.getLogger("millrace.serving")


class Refused(Exception):
    """Why a replica does not take a version."""


class Store(Protocol):
    def bundle(self, model: str, version: str, digest: str) -> Bundle: ...
    def read(self) -> dict[str, Record] | None: ...
    def write(self, models: Mapping[str, Record]) -> None: ...
    def collect(self, keep: Collection[str], older_than_s: float) -> None: ...


class Loader(Protocol):
    def __call__(self, record: Record, bundle: Bundle, check: bool) -> ModelVersion: ...


class _Held:
    def __init__(self, record: Record, version: ModelVersion) -> None:
        self.record = record
        self.version = version
        self.since = time.monotonic()


class Replica:
    """Thread-safe. `load` turns a bundle into a version in memory, verifying its rows when `check` is set."""

    def __init__(
        self,
        store: Store,
        load: Loader,
        on_switch: Callable[[dict[str, ModelVersion]], None],
        hold_seconds: float,
        keep_seconds: float,
    ) -> None:
        self._store = store
        self._load = load
        self._on_switch = on_switch
        self._hold_seconds = hold_seconds
        self._keep_seconds = keep_seconds
        # Records are applied one after the other, or a retry could bring back what a newer one replaced.
        self._applying = threading.RLock()
        # One load at a time: two would need the memory of both at once.
        self._loading = threading.Lock()
        self._lock = threading.RLock()
        self._live: dict[str, tuple[Record, ModelVersion]] = {}
        self._held: dict[str, _Held] = {}
        self._pending: dict[str, tuple[Record, str]] = {}
        self._retired: list[ModelVersion] = []
        self._kept: dict[str, Record] | None = None
        self._synchronised = False

    @property
    def ready(self) -> bool:
        """Whether every record known is served, and records are known."""
        return self._synchronised and not self._pending

    def restore(self) -> None:
        """Load what the disk has; `away` then decides whether that is enough to serve."""
        self._kept = self._store.read()
        for model, record in (self._kept or {}).items():
            try:
                self._switch(model, record, self._bring(record, check=False))
            except Exception as error:
                self._fail(model, record, error)

    def away(self, reason: str) -> None:
        """The log of records cannot be reached: the last good state is good enough, none is not."""
        if not self._synchronised and self._kept is not None:
            log.warning("serving from the state on disk: %s", reason)
            self._synchronised = True

    def reset(self, records: Mapping[str, Record]) -> None:
        """The log was read from its begin to its end, and `records` is what it says."""
        with self._applying:
            for model in {*self._live, *self._pending} - set(records):
                self._apply(model, None)
            for model, record in records.items():
                self._apply(model, record)
            self._persist()
            self._synchronised = True

    def prepare(self, record: Record) -> None:
        """Fetch, verify, warm up and hold a version; raises `Refused`."""
        try:
            version = self._bring(record, check=True)
        except Exception as error:
            raise Refused(_text(error)) from error
        with self._lock:
            self._held[record.model] = _Held(record, version)

    def abandon(self, model: str, generation: int) -> None:
        """Drop what `prepare` held for this generation; nothing is held is as good."""
        with self._lock:
            held = self._held.get(model)
            if held and held.record.generation == generation:
                del self._held[model]

    def apply(self, model: str, record: Record | None) -> None:
        """A record has arrived (None: the model is no longer deployed). Never raises: see `status`."""
        with self._applying:
            self._apply(model, record)
            self._persist()

    def tick(self) -> None:
        """For every few seconds: retry what failed, drop what nobody asked for, remove old bundles."""
        with self._applying:
            for model, (record, _) in list(self._pending.items()):
                self._apply(model, record)
            # Before any record was heard, nothing to serve is not a state to come back to.
            if self._synchronised:
                self._persist()
        with self._lock:
            for model, held in list(self._held.items()):
                if time.monotonic() - held.since > self._hold_seconds:
                    log.warning("%s %s was prepared but never deployed, dropped", model, held.record.version)
                    del self._held[model]
            self._retired = [version for version in self._retired if version.busy]
            records = [record for record, _ in (*self._live.values(), *self._pending.values())]
            keep = {r.digest for r in (*records, *(held.record for held in self._held.values()))}
        if self._synchronised:
            self._store.collect(keep, self._keep_seconds)

    def status(self) -> dict[str, object]:
        """What is live (once kept on disk and no request runs on an older version), held and failed."""
        with self._lock:
            kept = self._kept or {}
            busy = {version.name for version in self._retired if version.busy}
            live = {
                model: {"version": r.version, "digest": r.digest, "generation": r.generation}
                for model, (r, _) in self._live.items()
                if model not in busy and kept.get(model) == r
            }
            gone = [model for model in kept if model not in self._live]
            return {
                "ready": self.ready,
                "models": live,
                "leaving": sorted({*gone, *busy} - set(live)),
                "held": {model: {"generation": h.record.generation} for model, h in self._held.items()},
                "failed": {model: text for model, (_, text) in self._pending.items()},
            }

    def generations(self) -> dict[str, int]:
        return {model: record.generation for model, (record, _) in self._live.items()}

    def _apply(self, model: str, record: Record | None) -> None:
        live = self._live.get(model)
        if record is None:
            with self._lock:
                self._pending.pop(model, None)
                if live:
                    log.info("%s is no longer deployed", model)
                    del self._live[model]
                    self._retired.append(live[1])
                    self._publish()
            return
        if live and live[0] == record:
            self._pending.pop(model, None)
            return
        try:
            self._switch(model, record, self._at_hand(record) or self._bring(record, check=False))
        except Exception as error:
            self._fail(model, record, error)

    def _at_hand(self, record: Record) -> ModelVersion | None:
        with self._lock:
            held = self._held.get(record.model)
            live = self._live.get(record.model)
            candidates = (held.version if held else None, live[1] if live else None)
        wanted = (record.digest, record.version)
        return next((v for v in candidates if v and (v.digest, v.version) == wanted), None)

    def _bring(self, record: Record, check: bool) -> ModelVersion:
        with self._loading:
            bundle = self._store.bundle(record.model, record.version, record.digest)
            return self._load(record, bundle, check)

    def _switch(self, model: str, record: Record, version: ModelVersion) -> None:
        with self._lock:
            old = self._live.get(model)
            self._live[model] = (record, version)
            self._pending.pop(model, None)
            held = self._held.get(model)
            if held and held.version is version:
                del self._held[model]
            if old and old[1] is not version:
                self._retired.append(old[1])
            self._publish()
        log.info("%s %s is live, generation %d", model, record.version, record.generation)

    def _publish(self) -> None:
        self._on_switch({model: version for model, (_, version) in self._live.items()})

    def _fail(self, model: str, record: Record, error: Exception) -> None:
        # Until it is served the replica is not ready: it would answer with the old where others switched.
        log.error(
            "%s %s (generation %d) cannot be served: %s",
            model,
            record.version,
            record.generation,
            _text(error),
        )
        with self._lock:
            self._pending[model] = (record, _text(error))

    def _persist(self) -> None:
        with self._lock:
            records = {model: record for model, (record, _) in self._live.items()}
            records.update({model: record for model, (record, _) in self._pending.items()})
            if records == self._kept:
                return
            try:
                self._store.write(records)
            except OSError as error:
                log.error("state cannot be kept, so it is not reported: %s", error)
                return
            self._kept = records


def _text(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:2000]
