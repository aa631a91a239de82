"""The environment of requirements/deep.txt: several gigabytes, made once for a machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.cli import uv

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def deep() -> Callable[..., str]:
    """Runs a script with Keras and PyTorch; returns what it says."""
    lock = ROOT / "requirements/deep.txt"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millrace/venvs"
    place = caches / f"deep-{hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]}"
    if not (place / ".whole").exists():
        for words in (
            ["venv", "--quiet", "--allow-existing", "--python", sys.executable, place],
            ["pip", "sync", "--quiet", "--require-hashes", "--python", place / "bin/python", lock],
        ):
            subprocess.run([uv.program(), *words], env=uv.environment(), check=True)
        (place / ".whole").touch()

    def run(script: str, *words: str | Path, **environment: str) -> str:
        done = subprocess.run(
            [place / "bin/python", ROOT / "tests/frameworks" / script, *words],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
