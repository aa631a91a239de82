"""Tars that depend on their contents alone."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from .errors import BrokenDownload


@dataclass(frozen=True)
class Member:
    """A file of the tar: its bytes, or a file with the sha256 that it must have."""

    name: str
    content: bytes | Path
    sha256: str = ""
    mode: int = 0o644


class Hashing:
    """A binary file that takes the sha256 of what passes."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        data = self.file.read(size)
        self._count(data)
        return data

    def write(self, data: bytes) -> int:
        """As a file's."""
        self._count(data)
        return self.file.write(data)

    def _count(self, data: bytes) -> None:
        self.sha256.update(data)
        self.size += len(data)


def write_tar(path: Path, members: Iterable[Member]) -> tuple[str, int]:
    """Writes the members sorted by name, of root and of 1970; returns sha256 (hex) and size (bytes).

    Raises BrokenDownload when a member is not what it should be.
    """
    with path.open("wb") as file:
        out = Hashing(file)
        with tarfile.open(
            fileobj=cast(BinaryIO, out), mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20
        ) as tar:
            for member in sorted(members, key=lambda member: member.name):
                _add(tar, member)
        return out.sha256.hexdigest(), out.size


def _add(tar: tarfile.TarFile, member: Member) -> None:
    info = tarfile.TarInfo(member.name)
    info.mode = member.mode
    if isinstance(member.content, bytes):
        info.size = len(member.content)
        tar.addfile(info, io.BytesIO(member.content))
        return
    info.size = member.content.stat().st_size
    with member.content.open("rb") as file:
        source = Hashing(file)
        tar.addfile(info, cast(BinaryIO, source))
    if source.sha256.hexdigest() != member.sha256:
        raise BrokenDownload(member.sha256)
