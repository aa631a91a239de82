"""Runs a registry's client and says in one sentence what it could not do."""

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .errors import ArtifactError, ClientFailed, ClientMissing, RegistryUnreachable, WrongChecksum

HINTS = {
    "pip": "a mirror by PIP_INDEX_URL, a CA by PIP_CERT, a proxy by HTTPS_PROXY",
    "mvn": "a mirror or proxy in ~/.m2/settings.xml, a CA in the Java trust store or by MAVEN_OPTS",
    "uv": "a mirror by UV_DEFAULT_INDEX, a CA by SSL_CERT_FILE, a proxy by HTTPS_PROXY",
}
INSTALL = {
    "mvn": "apt install maven default-jre-headless",
    "java": "apt install default-jre-headless",
    "uv": "pip install uv",
    "pip": "apt install python3-pip",
}
UNREACHED = re.compile(
    r"Retrying \(Retry|from versions: none|CERTIFICATE_VERIFY_FAILED|SSLError|Could not fetch URL"
    r"|Could not transfer|Unknown host|UnknownHostException|PKIX path|Connect(ion)? (to|timed out|refused)"
    r"|Failed to fetch|Name or service not known",
    re.IGNORECASE,
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MISMATCH = re.compile(r"DO NOT MATCH THE HASHES", re.IGNORECASE)


class Clients:
    """The clients that run at the moment, so that all of them can be ended."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def run(
        self,
        name: str,
        argv: Sequence[str | Path],
        tmp: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Runs a client to its end and returns what it printed; `tmp` is its temporary directory.

        Raises ClientMissing, RegistryUnreachable, WrongChecksum or ClientFailed.
        """
        if not shutil.which(str(argv[0])):
            raise ClientMissing(f"{name} is not installed: `{INSTALL[name]}`")
        with self._started(
            [str(word) for word in argv], cwd or tmp, {"TMPDIR": str(tmp), **(env or {})}
        ) as process:
            output, _ = process.communicate()
        if process.returncode == 0:
            return output
        raise failure(name, output)

    @contextlib.contextmanager
    def _started(self, argv: list[str], cwd: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            if self._ended:
                raise ClientFailed("fetch was ended")
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace", env=os.environ | env, cwd=cwd,
            )  # fmt: skip
            self._running.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)

    def end(self) -> None:
        """Ends every client; no other starts afterwards."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()


def failure(name: str, output: str) -> ArtifactError:
    """What a client's output means."""
    if MISMATCH.search(output):
        return WrongChecksum(f"{name} got a file that is not the one of the lock")
    output = COLOUR.sub("", output)
    told = [line.strip() for line in output.splitlines() if line.strip()]
    if UNREACHED.search(output):
        why = next((line for line in told if UNREACHED.search(line)), "")[:200]
        return RegistryUnreachable(f"{name} does not reach its registry; set {HINTS[name]}. It said: {why}")
    return ClientFailed(f"{name} failed: " + "\n  ".join(["", *told[-8:]]).strip())
