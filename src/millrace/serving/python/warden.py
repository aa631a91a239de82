"""`python -m millrace.serving.python.warden`: one model's process on a host of a site.

systemd starts it for each connection to its socket, as a user of its own, without a network and with limits
of memory and CPU. The bundle comes over the connection, which then is the model's. The process ends with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import time
from pathlib import Path

from millrace.models import Bundle, InvalidBundle
from millrace.models.python import REQUIREMENTS, WHEELS, Entry
from millrace.serving.python.child.millrace_process import frames
from millrace.serving.python.environment import locked, python_for, unpack
from millrace.serving.python.launch import how_it_ended, kill_group, start

CONNECTION = 3  # systemd's first descriptor
SECONDS = 60.0  # for the bundle to come


def main() -> None:
    connection = socket.socket(fileno=int(os.environ.get("MILLRACE_CONNECTION", CONNECTION)))
    if "TMPDIR" in os.environ:
        Path(os.environ["TMPDIR"]).mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="millrace-model-") as folder:
        # Its user has no home.
        os.environ |= {"UV_CACHE_DIR": f"{folder}/uv", "UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never"}
        try:
            bundle = receive(connection, Path(folder) / "bundle")
            _check(bundle)
            home = Path(folder) / "home"
            home.mkdir()
            unpack(bundle, home)
            python = python_for(bundle, Path(folder) / "environment")
            memory = Entry.of(bundle).memory
        except (InvalidBundle, frames.BadMessage, OSError) as error:
            frames.send(connection, {"failed": str(error)})
            return
        except EOFError:
            return
        connection.settimeout(None)
        watch(connection, python, home, memory)


def receive(connection: socket.socket, place: Path) -> Bundle:
    """The bundle that comes over the connection, checked. Raises InvalidBundle, and what `frames` raises."""
    message, contents = frames.receive(connection, time.monotonic() + SECONDS)
    place.mkdir()
    for name, content in contents.items():
        if "/" in name or name.startswith("."):
            raise InvalidBundle(f"{name!r} is no file of a bundle")
        (place / name).write_bytes(content.tobytes())
    bundle = Bundle.load(place)
    if bundle.digest != message.get("digest"):
        raise InvalidBundle(f"the bundle that came is {bundle.digest}")
    return bundle


def watch(connection: socket.socket, python: Path, home: Path, memory: int) -> None:
    """Run the model's process until it ends, or the connection is closed."""
    process = start(python, connection.fileno(), home, memory)
    ended = os.pidfd_open(process.pid)
    poll = select.poll()
    # Whether anything comes is the child's business.
    poll.register(connection, select.POLLRDHUP)
    poll.register(ended, select.POLLIN)
    try:
        poll.poll()
        with contextlib.suppress(OSError):
            # It may be about to end, and said so already; else the other end is told why there is no answer.
            if select.select([ended], [], [], 0.2)[0]:
                frames.send(connection, {"ended": how_it_ended(process.wait())})
    finally:
        kill_group(process.pid)
        process.wait()
        os.close(ended)


def _check(bundle: Bundle) -> None:
    if locked(bundle.read(REQUIREMENTS)) and WHEELS not in bundle.manifest.files:
        raise InvalidBundle(
            "the bundle carries no wheels, and hosts reach no registry: `millrace bundle --wheels` packs them"
        )


if __name__ == "__main__":
    main()
