"""A model whose process is away: no fault of the rows, whatever it answers a moment later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millrace.models import Bundle, OnnxModel
from millrace.serving import runtimes
from tests.unit.serving.running import INFER, ROWS, Running


class Away(OnnxModel):
    """Its process ends for these rows, and is back at once."""

    inline = False

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.asked = 0

    def run(self, inputs: Any, outputs: Any = None, *, timeout: float | None = None) -> dict[str, Any]:
        if 7 in inputs["count"]:
            raise runtimes.Unavailable("its process ended by SIGABRT", retry_after=3)
        return super().run(inputs, outputs)


def test_it_is_503_and_says_when_to_ask_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runtimes.RUNTIMES, "onnx", Away)
    server = Running(tmp_path)
    try:
        answer = server.ask("POST", INFER, json={"inputs": ROWS})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
        assert answer.json() == {"error": "model 'tiny' is not there for now: its process ended by SIGABRT"}
    finally:
        server.end()
