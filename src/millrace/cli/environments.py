"""Python environments beside our own: made once a machine from a lock of requirements/, shared by clones."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from millrace import project
from millrace.problem import Problem

#: The environment that trains against a site, and the one that trains without.
TRAINING, LOCAL = "training", "local"


def home(name: str) -> Path:
    """Where the environment of the present lock `requirements/NAME.txt` is."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_of = _lock(name).read_bytes() + sys.version.encode() + sys.base_prefix.encode()
    return caches / "millrace" / "venvs" / hashlib.sha256(made_of).hexdigest()[:16]


def ready(name: str) -> Path | None:
    """Python of the environment when it is whole."""
    python = home(name) / "bin/python"
    return python if (home(name) / ".whole").exists() and python.exists() else None


def make(name: str, log: Path, note: Callable[[str], None] = lambda line: None) -> Path:
    """Python of the environment, made when it is not there. Raises Problem."""
    from millrace.box.engine import last_lines
    from millrace.cli import program, uv

    python = ready(name)
    if python:
        return python
    place = home(name)
    steps: list[list[str | Path]] = [
        [uv.program(), "venv", "--quiet", "--allow-existing", "--python", sys.executable, place],
        [uv.program(), "pip", "sync", "--require-hashes", "--python", place / "bin/python", _lock(name)],
    ]
    for words in steps:
        if program.run(words, log, note, uv.environment()):
            raise Problem(
                f"The environment of {_lock(name).name} could not be made; uv says:\n"
                f"{last_lines(log, 4)}\nMore: {log}"
            )
    (place / ".whole").touch()
    return place / "bin/python"


def _lock(name: str) -> Path:
    return project.root() / "requirements" / f"{name}.txt"
