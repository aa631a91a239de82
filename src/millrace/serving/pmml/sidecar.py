"""How the sidecar is reached: by the host's socket, or started as a child on first need."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path

from millrace.serving.pmml import program

#: A connection to the sidecar. Raises OSError, and NoProgram when it cannot be there at all.
Connect = Callable[[], socket.socket]
SOCKET = "MILLRACE_PMML_SOCKET"
#: Memory of a laptop's sidecar; on a site the table of sizes says it.
HEAP = "-Xmx256m"


class LocalSidecar:
    """A child of this process, started when somebody connects and it does not run.

    The socket is this process's: who connects meanwhile waits, as with a socket of systemd's.
    """

    def __init__(self, *options: str) -> None:
        """`options` are for the JVM."""
        self._options = options
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: socket.socket | None = None
        self._home = Path()

    def connect(self) -> socket.socket:
        with self._lock:
            if self._listener is None:
                self._listen()
            if self._process is None or self._process.poll() is not None:
                self._process = process = self._start()
                # Also when this process ends in order without having ended it.
                weakref.finalize(self, process.kill)
                threading.Thread(target=self._watch, args=[process], name="pmml4s", daemon=True).start()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._home / "sidecar"))
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def pid(self) -> int | None:
        """The JVM's, once it was started."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the child, and listen no more."""
        with self._lock:
            if self._process:
                self._process.kill()
                self._process.wait()
            if self._listener:
                self._listener.close()
                shutil.rmtree(self._home, ignore_errors=True)
            self._process = self._listener = None

    def _listen(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="millrace-pmml-"))
        weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._home / "sidecar"))
        self._listener.listen(128)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Who waits on the socket of a JVM that ended is told so, and may try again."""
        process.wait()
        with self._lock:
            if self._listener and process is self._process:
                poll = select.poll()
                poll.register(self._listener, select.POLLIN)
                while poll.poll(0):
                    self._listener.accept()[0].close()

    def _start(self) -> subprocess.Popen[bytes]:
        assert self._listener
        words = [program.java(), HEAP, "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
        words += [f"-Djava.io.tmpdir={self._home}", *self._options]
        return subprocess.Popen(
            [*words, "-cp", f"{program.jars()}/*", program.MAIN],
            stdin=self._listener.fileno(),
            stdout=subprocess.DEVNULL,
            cwd=self._home,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self._home), "LANG": "C.UTF-8"},
            # Ctrl-C is for the server, which ends in order.
            start_new_session=True,
        )


@cache
def _local() -> LocalSidecar:
    return LocalSidecar()


def connector() -> Connect:
    """The host's sidecar by $MILLRACE_PMML_SOCKET, else a child of this process. Raises NoProgram."""
    place = os.environ.get(SOCKET)
    if place is None:
        return _local().connect
    if not place:
        raise program.NoProgram(
            "this host computes no PMML documents that could not be converted to ONNX: "
            "set `prediction_pmml: true` in the inventory and run site.yml"
        )

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(place)
        except BaseException:
            connection.close()
            raise
        return connection

    return connect
