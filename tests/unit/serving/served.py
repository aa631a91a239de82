"""`millrace serve` as a newcomer runs it: a process, its lines, and requests to it."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

COMMAND = (sys.executable, "-m", "millrace.cli")


class Serving:
    """For a `with` statement; `url` is where it listens, on a port of the system's choice."""

    def __init__(self, folder: Path, *words: str, command: Sequence[str | Path] = COMMAND) -> None:
        self.lines: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [*command, "serve", folder, "--port", "0", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.url = re.findall(r"http://[^ ,]+", self.wait_for("Ctrl-C"))[0]

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._new.put(line.rstrip("\n"))
        self._new.put("")

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """The next line with a text in it; fails with all lines when it does not come."""
        while True:
            try:
                line = self._new.get(timeout=seconds)
            except queue.Empty:
                line = ""
            assert line or self.process.poll() is None, self.lines
            self.lines.append(line)
            if text in line:
                return line
            assert line, f"no {text!r} in {self.lines}"

    def infer(self, model: str, **columns: list[Any]) -> requests.Response:
        """V1, by columns; the values of all rows."""
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return self.ask("POST", f"/v1/models/{model}:predict", json={"instances": rows})

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, timeout=30, **options)

    def end(self, sign: signal.Signals = signal.SIGINT) -> int:
        """Its exit code after Ctrl-C."""
        self.process.send_signal(sign)
        return self.process.wait(30)

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end()
