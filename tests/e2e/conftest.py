"""A client outside the site: nothing but what `millrace env` prints."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.live import SITE

ROOT = Path(__file__).parents[2]
VARIABLES = (
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "MILLRACE_CA",
    "MILLRACE_GATEWAY",
    "MILLRACE_PASSWORD",
    "MILLRACE_USER",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "SPARK_REMOTE",
)


def millrace(
    *words: str | Path, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command on the site under test; its output is in the failure's message."""
    run = subprocess.run(
        [sys.executable, "-m", "millrace.cli", words[0], "--site", SITE.directory.name, *words[1:]],
        capture_output=True,
        text=True,
        env={**os.environ, "MILLRACE_STATE": str(SITE.directory.parent), **(env or {})},
        check=False,
    )
    if check and run.returncode:
        raise AssertionError(
            f"millrace {' '.join(map(str, words))} ended with {run.returncode}:\n{run.stdout}{run.stderr}"
        )
    return run


@pytest.fixture(scope="session")
def client_env() -> dict[str, str]:
    """The variables of `millrace env`, as a shell would set them."""
    words = shlex.split(millrace("env").stdout, comments=True)
    return dict(word.split("=", 1) for word in words if "=" in word)


@pytest.fixture(scope="session", autouse=True)
def _as_that_client(client_env: dict[str, str]) -> None:
    assert set(VARIABLES) <= set(client_env)
    os.environ.update(client_env)
