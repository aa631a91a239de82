"""Programs that a verb runs: output into a log, line by line to who listens, ended when the verb is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()


def run(
    words: Sequence[str | Path],
    log: Path,
    listen: Callable[[str], None] = lambda line: None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Exit code of a program whose output goes to `log` (appended) and, line by line, to `listen`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        out.write(f"$ {' '.join(map(str, words))}\n")
        # A session of its own: an interrupt at the terminal reaches it through `end_all`, in order.
        process = subprocess.Popen(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        with _lock:
            _running.add(process)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                out.write(line)
                out.flush()
                listen(line.rstrip("\n"))
            return process.wait()
        finally:
            if process.poll() is None:
                _end(process)
            with _lock:
                _running.discard(process)


@contextlib.contextmanager
def ended_with_us() -> Iterator[None]:
    """When this process is interrupted or told to end, so are the programs that it runs."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        end_all()
        signal.signal(signal.SIGTERM, before)


def end_all() -> None:
    """End every program that still runs, with what it has started."""
    with _lock:
        left = list(_running)
    for process in left:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    for sign, patience in ((signal.SIGINT, 5), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    # What it left behind in its session, as background children of a shell, which ignore an interrupt.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
