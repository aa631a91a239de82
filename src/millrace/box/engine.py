"""The Docker engine: found, or started, or told plainly why not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import DockerException

from millrace.problem import Problem
from millrace.site import state_root

PIDFILE = Path("/var/run/docker.pid")
PATIENCE = 60.0


def directory() -> Path:
    """Where log and process id of an engine that we started are kept. It serves every site."""
    return state_root() / ".engine"


def connect() -> docker.DockerClient:
    """A client of the engine that answers. Raises Problem."""
    client = answering()
    if client is None:
        raise Problem(f"No Docker engine answers at {endpoint()}: `./millrace demo` starts one.")
    return client


def endpoint() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def program() -> str | None:
    """The engine's program on this machine, if it is installed."""
    return shutil.which("dockerd", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")


def answering() -> docker.DockerClient | None:
    """A client, or None when no engine answers. Raises Problem when one is there and refuses this user."""
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        if "Permission" in str(error):
            raise Problem(
                f"This user may not speak to the Docker engine at {endpoint()}: run it with sudo."
            ) from error
        return None
    return client


def start(note: Callable[[str], None]) -> docker.DockerClient:
    """A client of the engine, started when none answers. Raises Problem with the engine's last words."""
    client = answering()
    if client is not None:
        return client
    if os.environ.get("DOCKER_HOST"):
        raise Problem(
            f"No Docker engine answers at DOCKER_HOST={endpoint()}: start it, or unset DOCKER_HOST."
        )
    if os.geteuid() != 0:
        raise Problem("No Docker engine runs, and starting one needs root: run it with sudo.")
    if Path("/run/systemd/system").is_dir():
        note("systemctl start docker")
        subprocess.run(["systemctl", "start", "docker"], capture_output=True, check=False)
        return _wait(note, lambda: "`journalctl -u docker` says why", lambda: True)
    return _start_directly(note)


def _start_directly(note: Callable[[str], None]) -> docker.DockerClient:
    found = program()
    if found is None:
        raise Problem(
            "dockerd is not installed: `apt-get install docker.io`, or start Millrace as ./millrace."
        )
    if remove_stale_pidfile():
        note(f"removed a stale {PIDFILE}")
    directory().mkdir(parents=True, exist_ok=True)
    log = directory() / "dockerd.log"
    note(f"starting {found}, log in {log}")
    with log.open("ab") as out:
        process = subprocess.Popen(
            [found], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/"
        )
    (directory() / "dockerd.pid").write_text(f"{process.pid}\n")
    return _wait(note, lambda: f"its last words in {log}:\n{last_lines(log)}", lambda: process.poll() is None)


def _wait(
    note: Callable[[str], None], why: Callable[[], str], alive: Callable[[], bool]
) -> docker.DockerClient:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        client = answering()
        if client is not None:
            return client
        if not alive():
            break
        note("waiting until it answers")
        time.sleep(0.5)
    raise Problem(f"The Docker engine does not answer at {endpoint()}; {why()}")


def last_lines(path: Path, count: int = 5) -> str:
    """The last lines of a file, indented."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(f"    {line}" for line in lines[-count:])


def remove_stale_pidfile(pidfile: Path = PIDFILE, proc: Path = Path("/proc")) -> bool:
    """Whether a pid file was removed that names no living dockerd: dockerd refuses to start beside it."""
    try:
        pid = int(pidfile.read_text())
    except (OSError, ValueError):
        pid = 0
    if not pidfile.exists() or is_dockerd(pid, proc):
        return False
    pidfile.unlink()
    return True


def is_dockerd(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether that process lives and is a Docker engine; process ids are used again."""
    try:
        return (proc / str(pid) / "comm").read_text().strip() == "dockerd"
    except OSError:
        return False


def own_pid() -> int | None:
    """Process id of the engine that we started directly, if it still runs."""
    try:
        pid = int((directory() / "dockerd.pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if is_dockerd(pid) else None


def end_own(client: docker.DockerClient) -> str:
    """End the engine that we started directly, unless containers are left. Returns what was done."""
    pid = own_pid()
    if pid is None:
        return "the engine was not started by Millrace and stays as it is"
    left = client.containers.list(all=True)
    if left:
        names = ", ".join(sorted(c.name or c.short_id for c in left)[:5])
        return f"the engine that Millrace started (process {pid}) still runs, for {names}"
    client.close()
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while is_dockerd(pid) and not _zombie(pid):
        if time.monotonic() > deadline:
            return f"the engine (process {pid}) was told to end and has not yet"
        time.sleep(0.2)
    shutil.rmtree(directory(), ignore_errors=True)
    return f"the engine that Millrace started (process {pid}) has ended"


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
