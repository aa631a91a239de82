"""One bash for a page: every command runs in it, so variables, functions and `cd` stay."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a command: standard output and error as one text, and its exit status.

    `status` is None when it passed its time limit, or when it ended the shell itself.
    """

    output: str
    status: int | None
    seconds: float


class Over(Exception):
    """The shell or interpreter of the page has ended: nothing more can run in it."""


class Shell:
    """A bash without terminal or start-up files, in `directory`; its own files are in `scratch`."""

    def __init__(self, directory: Path, scratch: Path, environment: Mapping[str, str]) -> None:
        self._scratch, self._number = scratch, 0
        self._ended, told = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env=dict(environment),
            pass_fds=[told],
            start_new_session=True,
            text=True,
        )
        os.close(told)
        self._told = told

    def run(self, command: str, limit: float) -> Result:
        """Run a command to its end or its time limit in seconds. Raises Over when there is no shell left."""
        if self._process.poll() is not None:
            raise Over("the shell of this page has ended")
        self._number += 1
        script, output = self._scratch / f"{self._number}.sh", self._scratch / f"{self._number}.out"
        script.write_text(command + "\n")
        assert self._process.stdin is not None
        start = time.monotonic()
        # A command that reads its input gets none: the next commands are not meant for it.
        self._process.stdin.write(f"source '{script}' </dev/null >'{output}' 2>&1; echo $? >&{self._told}\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._ended], [], [], limit)
        seconds = time.monotonic() - start
        answer = os.read(self._ended, 100).decode() if ready else ""
        if not answer:
            self.close()
        return Result(
            output.read_text(errors="replace") if output.exists() else "",
            int(answer) if answer else None,
            seconds,
        )

    def state(self) -> tuple[dict[str, str], Path]:
        """The exported variables and the working directory as they are now. Raises Over."""
        out = self.run("env -0; printf 'PWD_NOW=%s\\0' \"$PWD\"", 10).output
        variables = dict(entry.split("=", 1) for entry in out.split("\0") if "=" in entry)
        return variables, Path(variables.pop("PWD_NOW"))

    def close(self) -> None:
        """End it with all that it has started."""
        end_group(self._process)
        with contextlib.suppress(OSError):
            os.close(self._ended)


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and its session: an interrupt first, so that programs can tidy up."""
    for sign, patience in ((signal.SIGINT, 3.0), (signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)):
        if process.stdin and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
