"""schemathesis: what the description allows and forbids, against what the server does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from millrace.cli import environments
from millrace.serving.docs import description
from tests.fuzz.models import write_models
from tests.unit.serving.served import Serving

DESCRIPTION = "/v2/docs/openapi.json"
CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    python = environments.make("clients", tmp_path / "environment.log")
    with Serving(write_models(tmp_path / "models")) as server:
        words = [
            python.with_name("schemathesis"), "--config-file", CONFIG, "run",
            f"{server.url}{DESCRIPTION}", "--max-examples", "50", "--seed", "1",
            "--generation-database", "none", "--no-color",
        ]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, timeout=500, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr
        # It leaves out the path that it read the description from.
        described = set(json.loads(description().body)["paths"]) - {DESCRIPTION}
        assert f"Tested: {len(described)}\n" in done.stdout
        assert server.process.poll() is None
