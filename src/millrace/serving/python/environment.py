"""The Python environment of a model: its hash-locked requirements, made once, without what the server has."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from millrace.models import Bundle, InvalidBundle
from millrace.models.python import CODE, ENTRY, REQUIREMENTS, WHEELS

SECONDS = 600.0  # for the installation of an environment


def unpack(bundle: Bundle, place: Path) -> None:
    """The model's code and artifacts into an empty directory. Raises InvalidBundle."""
    (place / ENTRY).write_bytes(bundle.read(ENTRY))
    extract(bundle, CODE, place)


def extract(bundle: Bundle, name: str, place: Path) -> None:
    """Files of an archive below `place`: nothing outside, no devices. Raises InvalidBundle."""
    try:
        with tarfile.open(fileobj=io.BytesIO(bundle.read(name)), mode="r:") as tar:
            tar.extractall(place, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise InvalidBundle(f"{name} cannot be unpacked: {error}") from error


def python_for(bundle: Bundle, caches: Path) -> Path:
    """The interpreter that runs a bundle's model: this one if it requires nothing, else one of its own.

    Environments are kept in `caches` by their requirements, and shared by versions that have the same.
    Wheels that the bundle carries are taken, and no registry asked. Raises InvalidBundle.
    """
    requirements = bundle.read(REQUIREMENTS)
    if not locked(requirements):
        return Path(sys.executable)
    name = hashlib.sha256(requirements + sys.version.encode()).hexdigest()[:24]
    place = caches / name
    caches.mkdir(parents=True, exist_ok=True)
    with (caches / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "bin/python").exists():
            _make(bundle, requirements, place)
    return place / "bin/python"


def locked(requirements: bytes) -> list[str]:
    """The lines that require something."""
    lines = [line.split("#")[0].strip() for line in requirements.decode(errors="replace").splitlines()]
    return [line for line in lines if line and not line.startswith("--hash")]


def _make(bundle: Bundle, requirements: bytes, place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as folder:
        lock = Path(folder) / "requirements.txt"
        lock.write_bytes(requirements)
        options: list[str | Path] = []
        if WHEELS in bundle.manifest.files:
            extract(bundle, WHEELS, Path(folder) / "wheels")
            options = ["--no-index", "--find-links", Path(folder) / "wheels"]
        try:
            install(place, lock, options)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise


def install(place: Path, lock: Path, options: list[str | Path]) -> None:
    """Make a virtual environment with exactly what the lock names. Raises InvalidBundle."""
    wanted: list[str | Path] = ["--require-hashes", "--only-binary", ":all:", *options, "-r", lock]
    uv = shutil.which(
        "uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    steps: list[list[str | Path]]
    if uv:
        # Without a cache of its own there is nothing that two environments could spoil for each other.
        steps = [
            [uv, "venv", "--quiet", "--python", sys.executable, place],
            [uv, "pip", "install", "--quiet", "--python", place / "bin/python", *wanted],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", place],
            [place / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
        ]
    for words in steps:
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise InvalidBundle(f"its requirements were not installed within {SECONDS:g} s") from None
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-12:]
            raise InvalidBundle("its requirements cannot be installed: " + " ".join(map(str.strip, last)))
