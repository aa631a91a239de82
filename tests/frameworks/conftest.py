"""Environments of the frameworks, some of several gigabytes: made once for a machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.cli import environments

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_in(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a script of this folder in the environment of a lock; returns what it says."""

    def run(lock: str, script: str, *words: str | Path, **environment: str) -> str:
        python = environments.make(lock, tmp_path_factory.mktemp(lock) / "environment.log")
        done = subprocess.run(
            [python, ROOT / "tests/frameworks" / script, *words],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def deep(run_in: Callable[..., str]) -> Callable[..., str]:
    """The same with Keras and PyTorch."""
    return lambda script, *words, **environment: run_in("deep", script, *words, **environment)
