"""A small clone, a registry of wheels on disk for pip, and an `mvn` that answers from a directory."""

import base64
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

MVN = """#!/bin/sh
echo "$@" >> "$MVN_LOG"
for word; do case $word in -DoutputDirectory=*) into=${word#*=} ;; esac; done
. "$MVN_PLAN"
mkdir -p "$into" && cp -r "$MVN_JARS/." "$into/"
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(into: Path, name: str, *, tag: str = "py3-none-any", program: str = "") -> Path:
    """A wheel that pip takes, of version 1."""
    files = {
        f"{name}.py": b"",
        f"{name}-1.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: " + tag.encode() + b"\n",
    }
    files[f"{name}-1.dist-info/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n".encode()
    if program:
        files[f"{name}-1.data/scripts/{program}"] = b"#!/bin/sh\necho tool\n"
    record = ""
    for path, data in files.items():
        checksum = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={checksum},{len(data)}\n"
    files[f"{name}-1.dist-info/RECORD"] = record.encode()
    into.mkdir(parents=True, exist_ok=True)
    wheel = into / f"{name}-1-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return wheel


class Clone:
    """A clone with a bill of materials that tests write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bom = root / "playbooks" / "bom.yml"
        self.locks = self.bom.parent / "locks"
        self.locks.mkdir(parents=True)
        self.entries: dict[str, str] = {}
        self.jars = root / "jars"
        self.wheels = root / "wheels"
        self.wheels.mkdir()

    def add(self, name: str, entry: str, lock: str) -> None:
        (self.locks / f"{name}.lock").write_text(lock)
        rest = "version: '1', licence: Apache-2.0, source: a test"
        self.entries[name] = f"  {name}: {{{entry}, {rest}, lock: locks/{name}.lock}}\n"
        head = 'bom_python: "3.13"\nbom_platform: manylinux_2_28_x86_64\nbom_components:\n'
        self.bom.write_text(head + "".join(self.entries.values()))

    def add_python(self, name: str, *wheels: Path, entry: str = "kind: python") -> None:
        pins = [
            f"{wheel.name.split('-')[0]}==1 --hash=sha256:{sha256(wheel.read_bytes())}\n" for wheel in wheels
        ]
        self.add(name, entry, "".join(pins))

    def add_jars(self, name: str, **jars: bytes) -> None:
        lines = []
        for artifact, data in jars.items():
            path = f"org/test/{artifact}/1/{artifact}-1.jar"
            (self.jars / path).parent.mkdir(parents=True, exist_ok=True)
            (self.jars / path).write_bytes(data)
            lines.append(f"{sha256(data)}  {path}\n")
        self.add(name, "kind: jars", "".join(lines))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(autouse=True)
def registries(clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """pip finds the clone's wheels and no registry; `mvn` is ours. Returns what mvn was called with."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mvn").write_text(MVN)
    (programs / "mvn").chmod(0o755)
    (programs / "plan").touch()
    for name, value in {
        "PATH": f"{programs}:/usr/bin:/bin",
        "MVN_LOG": tmp_path / "mvn.log",
        "MVN_PLAN": programs / "plan",
        "MVN_JARS": clone.jars,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": clone.wheels,
        "PIP_NO_CACHE_DIR": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    return lambda: (tmp_path / "mvn.log").read_text().splitlines() if (tmp_path / "mvn.log").exists() else []
