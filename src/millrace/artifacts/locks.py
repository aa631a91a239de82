"""Lock files: which files a component consists of, by checksum."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import BomError

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?==(?P<version>[^\s;\\]+)\s*$")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
JAR = re.compile(r"^([0-9a-f]{64})  ([A-Za-z0-9._+/-]+\.jar)$")


@dataclass(frozen=True)
class Requirement:
    """A pinned distribution; `hashes` are of all its files, one of which fits the hosts."""

    name: str
    version: str
    hashes: tuple[str, ...]

    def line(self) -> str:
        """As a requirements file has it."""
        return f"{self.name}=={self.version} " + " ".join(f"--hash=sha256:{h}" for h in self.hashes)


@dataclass(frozen=True)
class Jar:
    """A file of a Maven repository; `path` is relative to the repository's top."""

    sha256: str
    path: PurePosixPath

    @property
    def version(self) -> str:
        """The artifact's version."""
        return self.path.parts[-2]

    @property
    def artifact(self) -> str:
        """The artifact's id."""
        return self.path.parts[-3]

    @property
    def group(self) -> str:
        """The group's id, with dots."""
        return ".".join(self.path.parts[:-3])

    @property
    def classifier(self) -> str:
        """What follows artifact and version in the file's name, or nothing."""
        return self.path.stem.removeprefix(f"{self.artifact}-{self.version}").lstrip("-")


def read_requirements(lock: Path) -> list[Requirement]:
    """All pins of a requirements file; BomError when a line is no pin or has no checksum."""
    found = []
    for entry in lock.read_text().replace("\\\n", " ").splitlines():
        entry = entry.split(" #")[0].strip()
        if not entry or entry.startswith("#"):
            continue
        pin = PIN.match(entry.split("--hash")[0])
        hashes = tuple(HASH.findall(entry))
        if not pin or not hashes:
            raise BomError(f"{lock}: {entry[:60]!r} is not `name==version --hash=sha256:...`")
        found.append(Requirement(canonical(pin["name"]), pin["version"], hashes))
    return found


def read_jars(lock: Path) -> list[Jar]:
    """All lines of a jar lock; BomError when one is not `sha256  path`, or two have one file name."""
    jars = []
    for entry in lock.read_text().splitlines():
        match = JAR.match(entry)
        path = PurePosixPath(match[2]) if match else PurePosixPath()
        if not match or len(path.parts) < 4 or ".." in path.parts or path.is_absolute():
            raise BomError(f"{lock}: {entry[:80]!r} is not `sha256  group/artifact/version/file.jar`")
        jars.append(Jar(match[1], path))
    names = [jar.path.name for jar in jars]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise BomError(f"{lock} has {doubled[0]} twice")
    return jars


def canonical(name: str) -> str:
    """A distribution's name as the Python index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
