"""A folder of bundles in the place of deployment records: what lies there is served.

DIR/NAME/bundle.json            model NAME
DIR/NAME/VERSION/bundle.json    model NAME, the newest VERSION that is good, of whole numbers
DIR/bundle.json                 one model, called as the folder
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from millrace.models import Bundle, InvalidBundle
from millrace.models.bundle import MANIFEST
from millrace.serving.records import MODEL_NAME, MODEL_VERSION, Record, State
from millrace.serving.replica import Refused

VERSION = "1"  # of a bundle that lies there without one
LOOK_SECONDS = 1.0
#: What tells whether a bundle was changed: name, size and time of each of its files.
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Found:
    """A bundle in the folder, not looked into."""

    model: str
    version: str
    path: Path


def find(folder: Path) -> dict[str, list[Found]]:
    """The bundles by model, newest versions first: of 2 and 10 it is the latter.

    What has no number for a name comes before them, to be refused: else nobody would hear of it.
    """
    if (folder / MANIFEST).is_file():
        return {folder.resolve().name: [Found(folder.resolve().name, VERSION, folder)]}
    found: dict[str, list[Found]] = {}
    for place in _folders(folder):
        if (place / MANIFEST).is_file():
            found[place.name] = [Found(place.name, VERSION, place)]
            continue
        versions = [each for each in _folders(place) if (each / MANIFEST).is_file()]
        versions.sort(key=lambda each: _order(each.name), reverse=True)
        if versions:
            found[place.name] = [Found(place.name, each.name, each) for each in versions]
    return found


def stamp(path: Path) -> Stamp:
    """Changes when a file of the bundle does; empty when there is none any more."""
    try:
        files = sorted(path.iterdir())
        return tuple((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    except OSError:
        return ()


class FolderStore:
    """Bundles by digest, where they lie. Nothing is kept: the folder is the state."""

    def __init__(self) -> None:
        self.places: dict[str, Path] = {}

    def bundle(self, model: str, version: str, digest: str) -> Bundle:
        """Raises InvalidBundle."""
        place = self.places.get(digest)
        if place is None:
            raise InvalidBundle(f"there is no bundle {digest} here")
        bundle = Bundle.load(place)
        if bundle.digest != digest:
            raise InvalidBundle(f"{place} was changed: it is {bundle.digest}")
        return bundle

    def read(self) -> State | None:
        return None

    def write(self, state: State) -> None:
        pass

    def collect(self, keep: Collection[str], older_than_s: float) -> None:
        self.places = {digest: place for digest, place in self.places.items() if digest in set(keep)}


class Switches(Protocol):
    """`millrace.serving.replica.Replica`."""

    def prepare(self, record: Record) -> None: ...
    def apply(self, model: str, record: Record | None) -> None: ...
    def reset(self, records: Mapping[str, Record]) -> None: ...


@dataclass(frozen=True)
class _Live:
    record: Record
    path: Path
    stamp: Stamp


class Folder:
    """Follows a folder: what is new is verified and switched to, what is bad is told once and left alone.

    `say` gets a line for each change.
    """

    def __init__(
        self, folder: Path, store: FolderStore, replica: Switches, say: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._store = store
        self._replica = replica
        self._say = say
        self._live: dict[str, _Live] = {}
        self._refused: dict[Path, Stamp] = {}
        self._seen: dict[Path, Stamp] = {}
        self._stopped = threading.Event()

    @property
    def live(self) -> dict[str, Record]:
        """What is served, by model."""
        return {model: live.record for model, live in self._live.items()}

    def begin(self) -> int:
        """Serve what lies there. Returns how many models do."""
        self._look(first=True)
        self._replica.reset(self.live)
        return len(self._live)

    def follow(self) -> None:
        """Look again and again, in a thread of its own, until `stop`."""
        threading.Thread(target=self._follow, name="folder", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def look(self) -> None:
        """One look for what has changed since the last one."""
        self._look(first=False)

    def _follow(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self.look()

    def _look(self, first: bool) -> None:
        found = find(self._folder)
        seen, self._seen = self._seen, {f.path: stamp(f.path) for each in found.values() for f in each}
        for model, candidates in found.items():
            for candidate in candidates:
                now = self._seen[candidate.path]
                settled = first or seen.get(candidate.path) == now
                if self._take(model, candidate, now, settled):
                    break
        for model in set(self._live) - set(found):
            del self._live[model]
            self._replica.apply(model, None)
            self._say(f"{model} is gone and no longer served")

    def _take(self, model: str, candidate: Found, now: Stamp, settled: bool) -> bool:
        """Whether older versions need not be looked at."""
        live = self._live.get(model)
        mine = live is not None and live.path == candidate.path
        if live and mine and live.stamp == now:
            return True
        if self._refused.get(candidate.path) == now:
            # What is in memory of a bundle that was overwritten is still good.
            return mine
        if not settled:
            # Somebody is still writing it: at the next look.
            return live is not None
        try:
            self._switch(model, candidate, now, live)
        except (InvalidBundle, Refused, OSError) as error:
            self._refused[candidate.path] = now
            goes_on = f"; {live.record.version} goes on" if live else ""
            self._say(f"{model} {candidate.version} is refused: {_line(error)}{goes_on}")
            return mine
        return True

    def _switch(self, model: str, candidate: Found, now: Stamp, live: _Live | None) -> None:
        """Raises InvalidBundle, Refused, OSError."""
        if not MODEL_NAME.fullmatch(model):
            raise Refused(f"{model!r} is no name of a model: letters, digits, '.', '_' and '-'")
        if not MODEL_VERSION.fullmatch(candidate.version):
            raise Refused("a version is a whole number: rename the folder if it is one")
        bundle = Bundle.load(candidate.path)
        if live and live.record.digest == bundle.digest and live.record.version == candidate.version:
            self._live[model] = _Live(live.record, candidate.path, now)
            return
        self._store.places[bundle.digest] = candidate.path
        generation = live.record.generation + 1 if live else 1
        record = Record(model, candidate.version, bundle.digest, generation)
        self._replica.prepare(record)
        self._replica.apply(model, record)
        self._live[model] = _Live(record, candidate.path, now)
        made_by, rows = bundle.manifest.framework, bundle.verification().rows
        self._say(f"{model} {candidate.version} is live: it answers {rows} rows as {made_by} did")


def _folders(place: Path) -> list[Path]:
    """Folders that are not hidden, in order; bundles being written are hidden ones."""
    try:
        return sorted(each for each in place.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError:
        return []


def _order(version: str) -> tuple[bool, int, str]:
    number = MODEL_VERSION.fullmatch(version)
    return not number, int(version) if number else 0, version


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
