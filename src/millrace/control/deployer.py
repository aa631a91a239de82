"""All or nothing: gate, prepare everywhere, write the record, wait until everyone has switched."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from millrace.control.fleet import NoReplicas, ReplicaError, Status
from millrace.serving.follower import Away
from millrace.serving.policy import FallbackPolicy, Policy, changed
from millrace.serving.records import Record

log = logging.getLogger("millrace.control")
_ASK_S = 5.0
_WAIT_S = 0.05
T = TypeVar("T")


class Refused(Exception):
    """Why nothing was switched, or with status 504 why that is not known yet. `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Log(Protocol):
    def records(self) -> dict[str, Record]: ...
    def append(self, model: str, record: Record | None) -> None: ...


class Member(Protocol):
    @property
    def name(self) -> str: ...
    def prepare(self, record: Record, timeout: float) -> None: ...
    def abandon(self, model: str, generation: int, timeout: float) -> None: ...
    def status(self, timeout: float) -> Status: ...


class Members(Protocol):
    def members(self) -> Sequence[Member]: ...


class Gate(Protocol):
    """`millrace.control.gate.Gate`; both raise `Refused`."""

    def __call__(self, model: str, version: str) -> str: ...
    def newest(self, model: str) -> str: ...


class Deployer:
    """Deploys one version of a model at a time; different models do not wait for each other."""

    def __init__(
        self,
        log: Log,
        fleet: Members,
        gate: Gate,
        prepare_seconds: float,
        switch_seconds: float,
    ) -> None:
        """`gate(model, version)` gives the digest of a bundle that reproduces its rows."""
        self._log = log
        self._fleet = fleet
        self._gate = gate
        self._prepare_seconds = prepare_seconds
        self._switch_seconds = switch_seconds
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def deployments(self) -> dict[str, Record]:
        """All records by model; raises `Refused` (503) when Kafka is away."""
        try:
            return self._log.records()
        except Away as error:
            raise Refused(503, f"Kafka is away, so nobody knows what is deployed: {error}") from error

    def deploy(self, model: str, version: str | None, user: str, changes: Any = None) -> Record:
        """Put `version` live on every replica, return the record; raises `Refused`, and nothing is switched.

        Without a version the live one stays, and only its policy changes. `changes` are those of the policy
        (see `millrace.serving.policy.changed`); what they leave out stays as it was.
        The one exception is status 504: the record is written, and a replica has not confirmed it in time,
        or Kafka went away before it said whether it took the record.
        """
        with self._locks[model]:
            return self._deploy(model, version, user, changes)

    def load(self, model: str, user: str) -> Record:
        """Put the newest registered version live; raises `Refused` as `deploy` does."""
        return self.deploy(model, self._gate.newest(model), user)

    def _deploy(self, model: str, version: str | None, user: str, changes: Any) -> Record:
        deployments = self.deployments()
        current = deployments.get(model)
        if version is None:
            if current is None:
                raise Refused(404, f"model '{model}' is not deployed: say which version to deploy")
            version = current.version
        policy = self._policy(model, version, changes, deployments)
        digest = self._gate(model, version)
        members = self._members()
        if current and (current.version, current.digest, current.policy) == (version, digest, policy):
            self._await(members, model, current)
            return current
        record = Record(
            model=model,
            version=version,
            digest=digest,
            generation=current.generation + 1 if current else 1,
            replicas=[member.name for member in members],
            user=user,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            policy=policy,
        )
        self._prepare(members, record)
        try:
            self._write(model, record)
        except Refused as error:
            # A record that may be there may arrive: who was prepared stays so, and forgets it in time.
            if error.status != 504:
                self._abandon(members, record)
            raise
        self._await(members, model, record)
        log.info(
            "%s %s is live on %d replicas, generation %d", model, version, len(members), record.generation
        )
        return record

    def _policy(self, model: str, version: str, changes: Any, deployments: dict[str, Record]) -> Policy:
        """The policy of a new record, with the digest of the version that it falls back to."""
        current = deployments.get(model)
        before = current.policy if current else Policy()
        try:
            policy = before if changes is None else changed(before, changes)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        fallback = policy.fallback
        if fallback is None:
            return policy
        asked = changes is not None and "fallback" in changes
        if fallback.model is not None and fallback.model not in deployments:
            raise Refused(
                409, f"nothing is switched, the fallback, model '{fallback.model}', is not deployed"
            )
        if fallback.version is None:
            return policy
        older = fallback.version
        if older == "previous":
            older = _previous(current, version)
        if older == version:
            if asked:
                raise Refused(400, f"version {version} cannot be its own fallback, name another version")
            # Going back to what was the fallback leaves nothing to fall back to.
            return replace(policy, fallback=None)
        digest = (
            fallback.digest if older == fallback.version and fallback.digest else self._gate(model, older)
        )
        return replace(policy, fallback=FallbackPolicy(version=older, digest=digest))

    def remove(self, model: str) -> None:
        """Take a model from every replica; raises `Refused` (404: it is not deployed)."""
        with self._locks[model]:
            if model not in self.deployments():
                raise Refused(404, f"model '{model}' is not deployed")
            members = self._members()
            self._write(model, None)
            self._await(members, model, None)
            log.info("%s is no longer deployed", model)

    def settle(self) -> None:
        """After a start: drop what an earlier control had prepared and never recorded."""
        records = self.deployments()
        for member in self._members():
            try:
                for model, held in member.status(_ASK_S).held.items():
                    # A deployment that began meanwhile holds its lock; its preparation is not left over.
                    if self._locks[model].locked():
                        continue
                    if model not in records or held.generation > records[model].generation:
                        log.info("%s: what was prepared of %s is abandoned", member.name, model)
                        member.abandon(model, held.generation, _ASK_S)
            except ReplicaError as error:
                log.warning("%s: %s", member.name, error)

    def _members(self) -> Sequence[Member]:
        try:
            return self._fleet.members()
        except NoReplicas as error:
            raise Refused(503, str(error)) from error

    def _prepare(self, members: Sequence[Member], record: Record) -> None:
        failures = _each(members, lambda member: member.prepare(record, self._prepare_seconds))
        if failures:
            self._abandon(members, record)
            text = "; ".join(f"{name}: {error}" for name, error in failures.items())
            raise Refused(409, f"nothing is switched, {record.model} {record.version} was refused by {text}")

    def _abandon(self, members: Sequence[Member], record: Record) -> None:
        # Who cannot be reached drops it by itself.
        for name, error in _each(
            members, lambda m: m.abandon(record.model, record.generation, _ASK_S)
        ).items():
            log.warning("%s could not be told to abandon %s: %s", name, record.model, error)

    def _write(self, model: str, record: Record | None) -> None:
        """Write a record (None: no longer deployed). What Kafka did not confirm may be there nevertheless.

        Raises `Refused`: 503 when it is not, 504 when nobody can say.
        """
        try:
            self._log.append(model, record)
        except Away as error:
            try:
                if self._log.records().get(model) == record:
                    return
            except Away:
                raise Refused(
                    504,
                    f"it is not known whether Kafka took the record: ask GET /deployments/{model} ({error})",
                ) from error
            raise Refused(503, f"Kafka did not take the record, nothing is switched: {error}") from error

    def _await(self, members: Sequence[Member], model: str, record: Record | None) -> None:
        """Until every replica reports `record` (None: the model gone)."""
        end = time.monotonic() + self._switch_seconds
        waiting = list(members)
        problems: dict[str, str] = {}
        while waiting:
            problems = _each(waiting, lambda member: _confirm(member, model, record))
            waiting = [member for member in waiting if member.name in problems]
            if waiting and time.monotonic() > end:
                text = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
                what = f"generation {record.generation} of {model}" if record else f"the removal of {model}"
                raise Refused(504, f"{what} is recorded but not confirmed by {text}; it switches when it can")
            if waiting:
                time.sleep(_WAIT_S)


def _previous(current: Record | None, version: str) -> str:
    """What "previous" stands for when `version` is deployed over `current`."""
    if current is None:
        raise Refused(400, "there is no previous version to fall back to: nothing was deployed before")
    if current.version != version:
        return current.version
    kept = current.policy.fallback
    if kept is None or kept.version is None:
        raise Refused(400, f"version {version} is live already: name the version to fall back to")
    return kept.version


def _confirm(member: Member, model: str, record: Record | None) -> None:
    status = member.status(_ASK_S)
    placed = status.models.get(model)
    if record is None:
        if placed or model in status.leaving:
            raise ReplicaError("it still has it")
    elif placed is None or (placed.generation, placed.digest) != (record.generation, record.digest):
        raise ReplicaError(status.failed.get(model) or "it has not switched yet")


def _each(members: Sequence[Member], call: Callable[[Member], None]) -> dict[str, str]:
    """Call for all members at once; what went wrong, by the member's name."""

    def attempt(member: Member) -> str:
        try:
            call(member)
        except ReplicaError as error:
            return str(error) or "unknown error"
        return ""

    with ThreadPoolExecutor(max_workers=min(len(members), 32) or 1) as pool:
        texts = list(pool.map(attempt, members))
    return {member.name: text for member, text in zip(members, texts, strict=True) if text}
