"""A server with a model that waits or fails when a test wants it to."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from millrace.models import Bundle, OnnxModel
from millrace.serving import runtimes
from millrace.serving.policy import Policy, changed
from tests.unit.serving.bundles import record_of
from tests.unit.serving.running import INFER, ROWS, Running


class Moody:
    """ONNX Runtime that waits or fails when the test wants it to."""

    platform = "moody"
    inline = False

    def __init__(self, bundle: Bundle) -> None:
        self._model = OnnxModel(bundle)
        self.bundle = bundle
        self.go = threading.Event()
        self.go.set()
        self.broken = False
        self.spoilt_by = ""
        self.running = self.most = 0
        self.rows: list[int] = []
        self._lock = threading.Lock()

    def run(self, inputs: Any, outputs: Any = None, *, timeout: float | None = None) -> dict[str, Any]:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.rows.append(len(inputs["x"]))
        try:
            self.go.wait(10)
            if self.broken or (self.spoilt_by and self.spoilt_by in inputs["kind"]):
                raise RuntimeError("it does not feel like it")
            return self._model.run(inputs, outputs)
        finally:
            with self._lock:
                self.running -= 1

    def close(self) -> None: ...


class Stage:
    """A server whose model `tiny` is moody, and another model `steady` that is not."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Moody] = []
        self.moody = True
        monkeypatch.setitem(runtimes.RUNTIMES, "onnx", self._load)
        self.server = Running(folder)
        self.moody = False
        self.server.replica.apply("steady", record_of(self.server.two, "steady"))
        self._generation = 1

    def _load(self, bundle: Bundle) -> Any:
        if not self.moody:
            return OnnxModel(bundle)
        self.made.append(Moody(bundle))
        return self.made[-1]

    @property
    def model(self) -> Moody:
        return self.made[0]

    def policy(self, **changes: Any) -> None:
        """A new record, with the version that is live."""
        self._generation += 1
        record = record_of(self.server.bundle, generation=self._generation, policy=changed(Policy(), changes))
        self.server.replica.prepare(record)
        self.server.replica.apply("tiny", record)

    def ask(self, model: str = "tiny", rows: Any = ROWS, **more: Any) -> httpx.Response:
        return self.server.ask("POST", f"/v2/models/{model}/infer", json={"inputs": rows} | more)

    def together(self, count: int, then: Callable[[], None] = lambda: None) -> list[httpx.Response]:
        """So many requests at once; `then` is called while they are under way."""

        async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
            asked = [asyncio.create_task(client.post(INFER, json={"inputs": ROWS})) for _ in range(count)]
            await asyncio.sleep(0.3)
            then()
            return await asyncio.gather(*asked)

        answers: list[httpx.Response] = self.server.run(talk)
        return answers

    def metric(self, name: str, **labels: str) -> float:
        value = self.server.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    def outcome(self, outcome: str) -> float:
        return self.metric("millrace_inference_requests_total", model="tiny", version="1", outcome=outcome)
