"""Starts a model's process on this machine, as this user: with limits, and without a network."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Protocol

from millrace.models import Bundle
from millrace.models.python import Entry
from millrace.serving.python.environment import python_for, unpack

CHILD = Path(__file__).parent / "child"
# One thread, as ONNX Runtime has: the machine's cores are for all models.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Process(Protocol):
    """A model's process; `connection` leads to its child."""

    connection: socket.socket

    def end(self, gone: bool = False) -> str:
        """End it at once, whatever it does. Of one that is `gone` by itself, how it ended."""


class Launcher(Protocol):
    """Starts a process for a bundle. Raises InvalidBundle, OSError."""

    def __call__(self, bundle: Bundle) -> Process: ...


class LocalProcess:
    """A child of this process, in a session of its own and a directory that goes with it."""

    def __init__(self, program: Path, bundle: Bundle, memory: int) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="millrace-model-"))
        self.connection, theirs = socket.socketpair()
        try:
            unpack(bundle, self._home)
            self._process = start(program, theirs.fileno(), self._home, memory)
        except BaseException:
            self.connection.close()
            shutil.rmtree(self._home, ignore_errors=True)
            raise
        finally:
            theirs.close()
        # Also when this process ends in order without having ended it.
        self._remove = weakref.finalize(self, _remove, self._process, self._home)

    def end(self, gone: bool = False) -> str:
        code = None
        if gone:
            # Its end of the connection closes a moment before it ends.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(1.0)
        self.connection.close()
        self._remove()
        return how_it_ended(code)


def _remove(process: subprocess.Popen[bytes], home: Path) -> None:
    kill_group(process.pid)
    process.wait()
    shutil.rmtree(home, ignore_errors=True)


def local_launcher() -> Launcher:
    """For a laptop: environments in the user's cache."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millrace/models"

    def launch(bundle: Bundle) -> Process:
        return LocalProcess(python_for(bundle, caches), bundle, Entry.of(bundle).memory)

    return launch


def start(program: Path, connection: int, home: Path, memory: int) -> subprocess.Popen[bytes]:
    """Start the child on a socket's descriptor, with nothing of this process's environment."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict.fromkeys(THREADS, "1"),
    }
    words = [str(program), "-I", str(CHILD), str(connection), str(home), str(memory)]
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        cwd=home,
        env=environment,
        pass_fds=[connection],
        start_new_session=True,
    )


def kill_group(leader: int) -> None:
    """End a session of processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def how_it_ended(code: int | None) -> str:
    """A return code in words; nothing for a process that still ran."""
    if code is None:
        return ""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
