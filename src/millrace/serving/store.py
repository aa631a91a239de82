"""What a replica keeps on its disk: bundles by digest, and the records that it serves."""

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from millrace.models import Bundle, InvalidBundle
from millrace.models.registry import RegistryError, fetch_bundle
from millrace.serving.config import Tls
from millrace.serving.records import State

log = logging.getLogger("millrace.serving")
FORMAT = 1


class _File(State, frozen=True):
    format: int = 0


class ReplicaStore:
    """`<root>/bundles/<sha256>/` and `<root>/state.json`."""

    def __init__(self, root: Path, registry_url: str, tls: Tls | None) -> None:
        self._bundles = root / "bundles"
        self._state = root / "state.json"
        self._registry = registry_url
        self._tls = (tls.ca, tls.certificate, tls.key) if tls else None
        self._bundles.mkdir(parents=True, exist_ok=True)

    def bundle(self, model: str, version: str, digest: str) -> Bundle:
        """The bundle, from the disk or else the registry.

        Raises InvalidBundle, RegistryError (ModelNotFound among them), OSError.
        """
        place = self._place(digest)
        if place.is_dir():
            try:
                bundle = Bundle.load(place)
                if bundle.digest == digest:
                    os.utime(place)
                    return bundle
                problem = f"it is {bundle.digest}"
            except InvalidBundle as error:
                problem = str(error)
            log.warning("bundle %s on disk is damaged and fetched again: %s", digest, problem)
            shutil.rmtree(place)
        bundle = fetch_bundle(self._registry, model, version, place, self._tls)
        if bundle.digest != digest:
            shutil.rmtree(place)
            raise RegistryError(f"the registry has {bundle.digest} as {model} {version}, wanted is {digest}")
        return bundle

    def read(self) -> State | None:
        """What was served last; None when there never was anything."""
        try:
            state = msgspec.json.decode(self._state.read_bytes(), type=_File)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeError) as error:
            log.error("%s cannot be read and is left aside: %s", self._state, error)
            return None
        return State(state.models, state.logs) if state.format == FORMAT else None

    def write(self, state: State) -> None:
        """Keep `state`: after a crash the old one or the new one is there, whole."""
        content = {"format": FORMAT, **msgspec.to_builtins(state)}
        descriptor, draft = tempfile.mkstemp(prefix=".state-", dir=self._state.parent)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(self._state)
        folder = os.open(self._state.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def collect(self, keep: Collection[str], older_than_s: float) -> None:
        """Remove bundles that are not in `keep` and were not used for `older_than_s` seconds."""
        wanted = {self._place(digest).name for digest in keep}
        for place in self._bundles.iterdir():
            if place.name not in wanted and time.time() - place.stat().st_mtime > older_than_s:
                log.info("bundle %s is no longer used and removed", place.name)
                shutil.rmtree(place, ignore_errors=True)

    def _place(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise InvalidBundle(f"{digest!r} is not a bundle's digest")
        return self._bundles / value
