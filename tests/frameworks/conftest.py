"""The environment of requirements/deep.txt: several gigabytes, made once for a machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.cli import environments

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a script with Keras and PyTorch; returns what it says."""
    python = environments.make("deep", tmp_path_factory.mktemp("deep") / "environment.log")

    def run(script: str, *words: str | Path, **environment: str) -> str:
        done = subprocess.run(
            [python, ROOT / "tests/frameworks" / script, *words],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
