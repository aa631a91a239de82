"""Wheels for the hosts' Python, by pip, and those that have to be built."""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .client import Clients
from .errors import ClientFailed, WrongChecksum
from .locks import Requirement
from .store import Store, digest

# Files in a built wheel get this time, so that two builds are equal.
BUILD_ENV = {"SOURCE_DATE_EPOCH": "315532800"}


class Target:
    """A Python on a platform, as wheels name them: `Target("3.13", "manylinux_2_28_x86_64")`."""

    def __init__(self, python: str, platform: str) -> None:
        self.python = python
        self.cpython = "cp" + python.replace(".", "")
        _, major, minor, machine = platform.split("_", 3)
        self.platforms = [f"manylinux_{major}_{n}_{machine}" for n in range(int(minor), 4, -1)]
        self.platforms += [f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1")]

    def pip(self) -> list[str]:
        """The options that make pip choose for this target."""
        options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}"]
        return options + [f"--platform={platform}" for platform in [*self.platforms, "any"]]

    def fits(self, wheel: str) -> bool:
        """Whether a wheel of that file name installs there."""
        if not wheel.endswith(".whl"):
            return False
        pythons, abis, platforms = (set(tag.split(".")) for tag in wheel.removesuffix(".whl").split("-")[-3:])
        if not platforms & {*self.platforms, "any"}:
            return False
        if "abi3" in abis:
            return any(self._not_newer(python) for python in pythons if python.startswith("cp3"))
        if abis & {"none", self.cpython}:
            return bool(pythons & {"py3", "py" + self.cpython[2:], self.cpython})
        return False

    def _not_newer(self, tag: str) -> bool:
        return int(tag[3:]) <= int(self.cpython[3:])


def kept(store: Store, requirement: Requirement, target: Target) -> tuple[Path, str] | None:
    """The wheel of a requirement that the store has, and its sha256."""
    for sha256 in requirement.hashes:
        if (file := store.kept(sha256)) and target.fits(file.name):
            return file, sha256
    return None


def download(
    clients: Clients,
    store: Store,
    wanted: Sequence[Requirement],
    target: Target,
    tmp: Path,
    options: Sequence[str] = (),
) -> None:
    """Brings the wheels of all `wanted` into the store; `options` are more options of pip."""
    # A few at a time: pip hands over its files at the end, and what was handed over survives an interruption.
    for start in range(0, len(wanted), 30):
        part = wanted[start : start + 30]
        _pip(clients, store, part, [*target.pip(), *options], tmp)


def download_source(clients: Clients, store: Store, wanted: Requirement, tmp: Path) -> tuple[Path, str]:
    """Brings the source distribution of a requirement into the store; returns it and its sha256."""
    for sha256 in wanted.hashes:
        if (file := store.kept(sha256)) and not file.name.endswith(".whl"):
            return file, sha256
    options = [f"--no-binary={wanted.name}", "--no-build-isolation"]
    _pip(clients, store, [wanted], options, tmp)
    return download_source(clients, store, wanted, tmp)


def _pip(
    clients: Clients, store: Store, wanted: Sequence[Requirement], options: list[str], tmp: Path
) -> None:
    lines = tmp / "requirements.txt"
    lines.write_text("\n".join(requirement.line() for requirement in wanted) + "\n")
    into = tmp / "pip"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--require-hashes", *options, "--dest", str(into), "--requirement", str(lines)]
    try:
        clients.run("pip", command, tmp)
    except WrongChecksum:
        # The wrong file may come from pip's own cache.
        clients.run("pip", [*command, "--no-cache-dir"], tmp)
    known = {sha256 for requirement in wanted for sha256 in requirement.hashes}
    for file in into.iterdir():
        sha256 = digest(file)
        if sha256 not in known:
            raise WrongChecksum(f"{file.name} from pip has sha256 {sha256}, which is not in the lock")
        store.keep(file, sha256)


def built(clients: Clients, store: Store, wanted: Requirement, tmp: Path) -> tuple[Path, str]:
    """The wheel made of a source distribution, once for a store; returns it and its own sha256."""
    # Named after the recipe too: another way to build is another wheel.
    key = hashlib.sha256(f"stored {wanted.line()}".encode()).hexdigest()
    note = store.downloads / key
    if note.is_file():
        sha256 = note.read_text()
        if file := store.kept(sha256):
            return file, sha256
    source, source_sha256 = download_source(clients, store, wanted, tmp)
    if digest(source) != source_sha256:
        store.drop(source_sha256)
        source, source_sha256 = download_source(clients, store, wanted, tmp)
    # Jars do not get smaller twice: stored members save most of the time to build and to install.
    wheel = build_wheel(clients, source, tmp, ["--config-setting=--build-option=--compression=stored"])
    sha256 = digest(wheel)
    file = store.keep(wheel, sha256)
    (tmp / "note").write_text(sha256)
    (tmp / "note").replace(note)
    store.drop(source_sha256)
    return file, sha256


def build_wheel(clients: Clients, source: Path, tmp: Path, options: Sequence[str] = ()) -> Path:
    """Builds the wheel of a source tree or archive with the build tools of this environment's lock."""
    into = tmp / "built"
    command = [uv(), "build", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable]
    clients.run("uv", [*command, *options, "--out-dir", into, source], tmp, env=BUILD_ENV)
    wheels = list(into.glob("*.whl"))
    if len(wheels) != 1:
        raise ClientFailed(f"uv built {len(wheels)} wheels of {source.name}, not one")
    return wheels[0]


def uv() -> str:
    """The uv of this environment, or else of the path."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if os.access(beside, os.X_OK) else "uv"
