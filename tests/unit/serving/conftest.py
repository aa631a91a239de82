"""What several files of tests stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.serving.moody import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(tmp_path, monkeypatch)
    yield stage
    for moody in stage.made:
        moody.go.set()
    stage.server.end()
