"""What a replica serves: versions are prepared, held, and switched to when their record arrives.

Loads take seconds and run in the caller's thread; requests see one dictionary that is replaced as a whole.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from millrace.models import Bundle
from millrace.serving.fallback import Constant, Unfit, check_stands_in
from millrace.serving.records import Record, State
from millrace.serving.versions import ModelVersion

log = logging.getLogger("millrace.serving")


class Refused(Exception):
    """Why a replica does not take a version."""


class Store(Protocol):
    def bundle(self, model: str, version: str, digest: str) -> Bundle: ...
    def read(self) -> State | None: ...
    def write(self, state: State) -> None: ...
    def collect(self, keep: Collection[str], older_than_s: float) -> None: ...


class Versions(Protocol):
    """`millrace.serving.versions.Shelf`."""

    def version(self, record: Record, version: str, bundle: Bundle, check: bool) -> ModelVersion: ...
    def forget(self, version: ModelVersion) -> None: ...


class Placed:
    """A record with the versions that serve it: its own, and the one that its fallback names."""

    def __init__(self, record: Record, version: ModelVersion, standby: ModelVersion | None = None) -> None:
        self.record = record
        self.version = version
        self.standby = standby
        self.since = time.monotonic()

    @property
    def versions(self) -> list[ModelVersion]:
        return [self.version, self.standby] if self.standby else [self.version]


class Replica:
    """Thread-safe. `versions` turns bundles into versions in memory."""

    def __init__(
        self,
        store: Store,
        versions: Versions,
        on_switch: Callable[[dict[str, Placed]], None],
        hold_seconds: float,
        keep_seconds: float,
    ) -> None:
        self._store = store
        self._versions = versions
        self._on_switch = on_switch
        self._hold_seconds = hold_seconds
        self._keep_seconds = keep_seconds
        # Records are applied one after the other, or a retry could bring back what a newer one replaced.
        self._applying = threading.RLock()
        # One load at a time: two would need the memory of both at once.
        self._loading = threading.Lock()
        self._lock = threading.RLock()
        self._live: dict[str, Placed] = {}
        self._held: dict[str, Placed] = {}
        self._pending: dict[str, tuple[Record, str]] = {}
        self._retired: list[ModelVersion] = []
        self._kept: State | None = None
        # The log that is followed, and the one that each model's record came from.
        self._log = ""
        self._logs: dict[str, str] = {}
        self._synchronised = False

    @property
    def ready(self) -> bool:
        """Whether every record known is served, and records are known."""
        return self._synchronised and not self._pending

    def restore(self) -> None:
        """Load what the disk has; `away` then decides whether that is enough to serve."""
        self._kept = self._store.read()
        kept = self._kept or State({})
        self._logs = dict(kept.logs)
        for model, record in kept.models.items():
            try:
                self._switch(self._bring(record, check=False))
            except Exception as error:
                self._fail(model, record, error)

    def away(self, reason: str) -> None:
        """The log of records cannot be reached: the last good state is good enough, none is not."""
        if not self._synchronised and self._kept is not None:
            log.warning("serving from the state on disk: %s", reason)
            self._synchronised = True

    def reset(self, records: Mapping[str, Record | None], log_id: str = "") -> None:
        """The log was read from its begin to its end, and `records` is what it says (None: removed).

        A model that the log does not name is removed if this log had named it. What an earlier log had
        named goes on: the topic was lost and made anew, and says nothing of it until it is deployed again.
        """
        with self._applying:
            absent = {*self._live, *self._pending} - set(records)
            lost = sorted(model for model in absent if self._logs.get(model, log_id) != log_id)
            if lost:
                log.warning(
                    "the deployment topic was made anew without %s: served as before, deploy again what "
                    "is to stay",
                    ", ".join(lost),
                )
            self._log = log_id
            for model, record in {**dict.fromkeys(absent - set(lost)), **records}.items():
                self._hear(model, record)
            self._persist()
            self._synchronised = True

    def prepare(self, record: Record) -> None:
        """Fetch, verify, warm up and hold a version; raises `Refused`."""
        try:
            placed = self._bring(record, check=True)
            self._check_fallback(placed)
        except Exception as error:
            raise Refused(_text(error)) from error
        with self._lock:
            before = self._held.get(record.model)
            self._held[record.model] = placed
            if before:
                self._retire(before)

    def abandon(self, model: str, generation: int) -> None:
        """Drop what `prepare` held for this generation; nothing is held is as good."""
        with self._lock:
            held = self._held.get(model)
            if held and held.record.generation == generation:
                self._retire(self._held.pop(model))

    def apply(self, model: str, record: Record | None) -> None:
        """A record has arrived (None: the model is no longer deployed). Never raises: see `status`."""
        with self._applying:
            self._hear(model, record)
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
                    self._retire(self._held.pop(model))
            over = [version for version in self._retired if not version.busy]
            self._retired = [version for version in self._retired if version.busy]
            records = [placed.record for placed in (*self._live.values(), *self._held.values())]
            records += [record for record, _ in self._pending.values()]
            keep = {digest for record in records for digest in record.digests}
        for version in over:
            self._versions.forget(version)
        if self._synchronised:
            self._store.collect(keep, self._keep_seconds)

    def status(self) -> dict[str, object]:
        """What is live (once kept on disk and no request runs on an older version), held and failed."""
        with self._lock:
            kept = self._kept.models if self._kept else {}
            busy = {version.name for version in self._retired if version.busy}
            live = {
                model: {"version": r.version, "digest": r.digest, "generation": r.generation}
                for model, r in ((model, placed.record) for model, placed in self._live.items())
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
        return {model: placed.record.generation for model, placed in list(self._live.items())}

    def _hear(self, model: str, record: Record | None) -> None:
        if record is None:
            self._logs.pop(model, None)
        else:
            self._logs[model] = self._log
        self._apply(model, record)

    def _apply(self, model: str, record: Record | None) -> None:
        live = self._live.get(model)
        if record is None:
            with self._lock:
                self._pending.pop(model, None)
                if live:
                    log.info("%s is no longer deployed", model)
                    del self._live[model]
                    self._retire(live)
                    self._publish()
            return
        if live and live.record == record:
            self._pending.pop(model, None)
            return
        try:
            self._switch(self._bring(record, check=False))
        except Exception as error:
            self._fail(model, record, error)

    def _bring(self, record: Record, check: bool) -> Placed:
        """The versions that serve a record: those at hand, others loaded, and verified with `check`."""
        with self._loading:
            version = self._bring_one(record, record.version, record.digest, check)
            fallback = record.policy.fallback
            if fallback is None or fallback.version is None:
                return Placed(record, version)
            return Placed(record, version, self._bring_one(record, fallback.version, fallback.digest, check))

    def _bring_one(self, record: Record, version: str, digest: str, check: bool) -> ModelVersion:
        for candidate in self._at_hand(record.model):
            if (candidate.digest, candidate.version) == (digest, version):
                return candidate
        bundle = self._store.bundle(record.model, version, digest)
        return self._versions.version(record, version, bundle, check)

    def _at_hand(self, model: str) -> list[ModelVersion]:
        with self._lock:
            places = [place[model] for place in (self._held, self._live) if model in place]
            return [version for placed in places for version in placed.versions]

    def _check_fallback(self, placed: Placed) -> None:
        """Raises `Unfit` when what should answer in the model's place could not."""
        fallback, signature = placed.record.policy.fallback, placed.version.signature
        if fallback is None:
            return
        if fallback.constant is not None:
            Constant(fallback.constant, signature)
        if placed.standby:
            check_stands_in(placed.standby.signature, signature, f"version {placed.standby.version}")
        if fallback.model is not None:
            other = self._live.get(fallback.model)
            if fallback.model == placed.record.model:
                raise Unfit("the fallback is the model itself")
            if other is None:
                raise Unfit(f"the fallback, model '{fallback.model}', is not deployed")
            check_stands_in(other.version.signature, signature, f"model '{fallback.model}'")

    def _switch(self, placed: Placed) -> None:
        model, record = placed.record.model, placed.record
        with self._lock:
            old = self._live.get(model)
            self._live[model] = placed
            self._pending.pop(model, None)
            held = self._held.get(model)
            if held and held.version is placed.version:
                self._retire(self._held.pop(model))
            if old:
                self._retire(old)
            self._publish()
        log.info("%s %s is live, generation %d", model, record.version, record.generation)

    def _retire(self, placed: Placed) -> None:
        """Versions that are neither live nor held are dropped once no request runs on them."""
        used = [v for place in (*self._live.values(), *self._held.values()) for v in place.versions]
        self._retired += [v for v in placed.versions if not any(v is other for other in used)]

    def _publish(self) -> None:
        self._on_switch(dict(self._live))

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
            records = {model: placed.record for model, placed in self._live.items()}
            records.update({model: record for model, (record, _) in self._pending.items()})
            state = State(records, {m: self._logs[m] for m in records if m in self._logs})
            if state == self._kept:
                return
            try:
                self._store.write(state)
            except OSError as error:
                log.error("state cannot be kept, so it is not reported: %s", error)
                return
            self._kept = state


def _text(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:2000]
