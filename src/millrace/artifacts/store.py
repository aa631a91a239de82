"""The artifact store: downloads by checksum, and one tar for each component."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .bom import Bom, load_bom
from .errors import MissingArtifact, StoreUnwritable

KEPT_IDS = 3


@dataclass(frozen=True)
class Artifact:
    """A component ready for hosts: `path` is its tar, `sha256` that of the tar, `size` its bytes."""

    component: str
    version: str
    id: str
    path: Path
    sha256: str
    size: int


class Store:
    """A directory that clones share; every file comes into it whole, by a rename."""

    def __init__(self, root: Path | None = None) -> None:
        home = Path(os.environ.get("MILLRACE_STORE") or "~/.cache/millrace")
        self.root = (root or home).expanduser().absolute()
        self.artifacts = self.root / "artifacts"
        self.downloads = self.root / "downloads"

    def tar(self, component: str, id: str) -> Path:
        """Where the tar of that component and id belongs."""
        return self.artifacts / f"{component}-{id}.tar"

    def read(self, component: str, id: str) -> Artifact | None:
        """The artifact if it is there in its full length; its bytes are not read."""
        path = self.tar(component, id)
        try:
            about = json.loads(path.with_suffix(".json").read_text())
            whole = path.stat().st_size == about["size"] and about["id"] == id
        except (OSError, ValueError, KeyError):
            return None
        if not whole:
            return None
        return Artifact(component, about["version"], id, path, about["sha256"], about["size"])

    def intact(self, artifact: Artifact) -> bool:
        """Whether the tar still has its checksum; reads it only if it was touched since the last time."""
        about = artifact.path.with_suffix(".json")
        if artifact.path.stat().st_mtime_ns <= about.stat().st_mtime_ns:
            return True
        if digest(artifact.path) != artifact.sha256:
            return False
        os.utime(about)
        return True

    def write(
        self, component: str, version: str, id: str, fill: Callable[[Path], tuple[str, int]]
    ) -> Artifact:
        """Puts a tar in place; `fill` writes it to a path and returns its sha256 and size in bytes."""
        self.artifacts.mkdir(parents=True, exist_ok=True)
        path = self.tar(component, id)
        with self.scratch() as scratch:
            sha256, size = fill(scratch / path.name)
            (scratch / path.name).replace(path)
            about = {"component": component, "version": version, "id": id, "sha256": sha256, "size": size}
            (scratch / "about").write_text(json.dumps(about, indent=1) + "\n")
            # Last: an interrupted write leaves a tar that nobody looks at.
            (scratch / "about").replace(path.with_suffix(".json"))
        self._forget_old(component)
        return Artifact(component, version, id, path, sha256, size)

    def _forget_old(self, component: str) -> None:
        # Other clones may still want the last ones; more would fill the disk of whoever edits this one.
        notes = [note for note in self.artifacts.glob(f"{component}-*.json") if _component(note) == component]
        notes.sort(key=lambda note: note.stat().st_mtime, reverse=True)
        for note in notes[KEPT_IDS:]:
            note.unlink(missing_ok=True)
            note.with_suffix(".tar").unlink(missing_ok=True)

    def kept(self, sha256: str) -> Path | None:
        """The download with that checksum, if any; its bytes are read when it is packed."""
        with contextlib.suppress(OSError):
            return next((self.downloads / sha256).iterdir(), None)
        return None

    def keep(self, file: Path, sha256: str) -> Path:
        """Moves a file that was checked into the downloads."""
        place = self.downloads / sha256
        place.mkdir(parents=True, exist_ok=True)
        return file.replace(place / file.name)

    def drop(self, sha256: str) -> None:
        """Takes a download out."""
        shutil.rmtree(self.downloads / sha256, ignore_errors=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory on the store's own disk, gone afterwards."""
        (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root / "tmp", ignore_cleanup_errors=True) as name:
            yield Path(name)

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """One process at a time; calls `waiting` once if another has it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / "lock").open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    waiting()
                    fcntl.flock(file, fcntl.LOCK_EX)
                # What an interrupted run left behind.
                shutil.rmtree(self.root / "tmp", ignore_errors=True)
                yield
        except OSError as error:
            raise StoreUnwritable(
                f"the artifact store {self.root} cannot be filled ({error.strerror}): make room, "
                "or set MILLRACE_STORE to a directory of yours"
            ) from error


def _component(note: Path) -> str:
    try:
        return str(json.loads(note.read_text())["component"])
    except (OSError, ValueError, KeyError):
        return ""


def digest(path: Path) -> str:
    """The sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def locate(component: str, *, bom: Bom | None = None, store: Path | None = None) -> Artifact:
    """The artifact of a component as this clone's bill of materials wants it. Raises MissingArtifact."""
    bom = bom or load_bom()
    shelf = Store(store)
    id = bom.id(component)
    if artifact := shelf.read(component, id):
        return artifact
    raise MissingArtifact(
        f"{component} {id} is not in the artifact store {shelf.root}: run `./millrace fetch`"
    )
