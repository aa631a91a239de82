"""Where the playbooks, images and examples are: the clone that this package belongs to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from millrace.problem import Problem


def root() -> Path:
    """The clone: $MILLRACE_HOME, or the directory above `src/`, or the working directory."""
    for place in (os.environ.get("MILLRACE_HOME"), Path(__file__).parents[2], Path.cwd()):
        if place and (Path(place) / "playbooks/site.yml").is_file():
            return Path(place).resolve()
    raise Problem(
        "The playbooks are not here: run this from a clone of Millrace, or set MILLRACE_HOME to one."
    )


def playbooks() -> Path:
    return root() / "playbooks"


def examples() -> list[str]:
    """Names of the examples that can be trained."""
    return sorted(p.parent.name for p in (root() / "examples").glob("*/train.py"))


def digest(paths: Iterable[Path]) -> str:
    """One digest (16 hex digits) of files and directories: their relative names and contents."""
    total = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            if "__pycache__" in file.parts or ".site" in file.parts:
                continue
            name = file.relative_to(path.parent)
            total.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()[:16]
