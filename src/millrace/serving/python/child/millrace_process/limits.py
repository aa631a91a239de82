"""What a model's process gives up before it runs the model's code."""

import contextlib
import ctypes
import os
import resource
import select
import socket
import threading
from pathlib import Path

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000


def give_up(memory: int) -> list[str]:
    """Take limits of memory (bytes of address space) and files, and give up the network.

    Returns what could not be done, in words.
    """
    lost = []
    for kind, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 512),
    ):
        # On a site a unit sets its limits, and forbids to change them.
        with contextlib.suppress(PermissionError):
            _limit(kind, value)
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _NEW_NET if os.geteuid() == 0 else _NEW_NET | _NEW_USER
    # A network of its own has no interface that is up.
    if libc.unshare(flags) != 0 and not _without_network():
        lost.append(f"the network could not be taken away ({os.strerror(ctypes.get_errno())})")
    with contextlib.suppress(OSError):
        os.nice(5)
    return lost


def end_with(connection: socket.socket) -> None:
    """End this process when the other end of the connection is closed, whatever it does then.

    One that keeps Python's lock while it computes is ended by its limit of CPU time.
    """

    def watch() -> None:
        poll = select.poll()
        poll.register(connection, select.POLLRDHUP)
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def allow_cpu(seconds: float) -> None:
    """From now on so much CPU time; the kernel ends a process that takes more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    total = used.ru_utime + used.ru_stime + seconds * (os.cpu_count() or 1)
    with contextlib.suppress(PermissionError):
        _limit(resource.RLIMIT_CPU, int(total) + 2, soft=True)


def _without_network() -> bool:
    """Whether somebody else has taken it away already: there is no interface but the loopback."""
    try:
        lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    except OSError:
        return False
    return {line.split(":")[0].strip() for line in lines} <= {"lo"}


def _limit(kind: int, value: int, soft: bool = False) -> None:
    _, most = resource.getrlimit(kind)
    if most != resource.RLIM_INFINITY:
        value = min(value, most)
    resource.setrlimit(kind, (value, most if soft else value))
