"""One Python for a page: every Python block runs in it, one after the other, with one namespace."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.docs.shell import Over, Result, end_group

LOOP = Path(__file__).with_name("interpreter_loop.py")


class Interpreter:
    """A Python process; `python` may be that of another environment than this one's."""

    def __init__(self, python: Path, directory: Path, scratch: Path, environment: Mapping[str, str]) -> None:
        self._output = (scratch / "python.out").open("w+")
        self._answers, theirs = os.pipe()
        self._process = subprocess.Popen(
            [python, "-u", LOOP, str(theirs)],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=dict(environment),
            pass_fds=[theirs],
            start_new_session=True,
            text=True,
        )
        os.close(theirs)
        self._read = 0

    def run(self, code: str, limit: float, *, prompt: bool = False) -> Result:
        """Run code; with `prompt` as if typed: values of expressions are shown. Raises Over."""
        if self._process.poll() is not None:
            raise Over("the interpreter of this page has ended")
        assert self._process.stdin is not None
        start = time.monotonic()
        self._process.stdin.write(json.dumps([code, "single" if prompt else "exec"]) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._answers], [], [], limit)
        seconds = time.monotonic() - start
        answer = os.read(self._answers, 100).decode() if ready else ""
        if not answer:
            self.close()
        return Result(self._new_output(), int(answer) if answer else None, seconds)

    def _new_output(self) -> str:
        text = Path(self._output.name).read_text(errors="replace")
        new, self._read = text[self._read :], len(text)
        return new

    def close(self) -> None:
        """End it with all that it has started."""
        end_group(self._process)
