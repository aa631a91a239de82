"""On a site: asks the host's own service for a model's process, which then belongs to another user."""

from __future__ import annotations

import contextlib
import socket

import numpy as np

from millrace.models import Bundle
from millrace.models.bundle import MANIFEST
from millrace.serving.python.child.millrace_process import frames
from millrace.serving.python.launch import Launcher, Process


class IsolatedProcess:
    """Ends when the connection to it is closed: `millrace.serving.python.warden` sees to that."""

    def __init__(self, place: str, bundle: Bundle) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.connection.connect(place)
            contents = {MANIFEST: (bundle.path / MANIFEST).read_bytes()}
            contents |= {name: bundle.read(name) for name in bundle.manifest.files}
            frames.send(
                self.connection,
                {"digest": bundle.digest},
                {name: np.frombuffer(content, np.uint8) for name, content in contents.items()},
            )
        except BaseException:
            self.connection.close()
            raise

    def end(self, gone: bool = False) -> str:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        return ""


def isolated_launcher(place: str) -> Launcher:
    """For the Unix socket of that service."""

    def launch(bundle: Bundle) -> Process:
        return IsolatedProcess(place, bundle)

    return launch
