"""A server as the bench sees it: its processes, their CPU time and their memory."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE_S = 60.0


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Server:
    """Programs that answer together. All of them, and all they start, are counted."""

    log: Path
    roots: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, words: Sequence[str | Path], **variables: str) -> None:
        """Start one program of it."""
        with self.log.open("ab") as log:
            self.roots.append(
                subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **variables},
                    start_new_session=True,
                )
            )

    def stop(self) -> None:
        """End all of it."""
        for root in reversed(self.roots):
            root.terminate()
        for root in self.roots:
            try:
                root.wait(10)
            except subprocess.TimeoutExpired:
                root.kill()
                root.wait()

    def cpu_seconds(self) -> float:
        """CPU time of all processes, of those that have ended in between as well."""
        return sum(sum(map(int, _stat(pid)[11:15])) for pid in self.pids()) / _TICKS

    def resident_mb(self) -> float:
        """Resident memory of all processes, in MB (10^6 bytes)."""
        page = os.sysconf("SC_PAGE_SIZE")
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return sum(pages) * page / 1e6

    def pids(self) -> list[int]:
        """The programs and all their descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (stat := _stat(int(entry.name))):
                children.setdefault(int(stat[1]), []).append(int(entry.name))
        found = [root.pid for root in self.roots]
        for pid in found:
            found += children.get(pid, [])
        return found

    def wait(self, url: str) -> float:
        """Seconds until `url` answers 200. Raises SystemExit with the end of the log when it does not."""
        begun = time.monotonic()
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=anyone)
        )
        while time.monotonic() - begun < _PATIENCE_S:
            try:
                with opener.open(url, timeout=5):
                    return time.monotonic() - begun
            except OSError:
                if any(root.poll() is not None for root in self.roots):
                    break
                time.sleep(0.02)
        raise SystemExit(f"{url} does not answer; {self.log} ends with:\n{self.log.read_text()[-2000:]}")


def _stat(pid: int) -> list[str]:
    """What follows the name in /proc/PID/stat; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
