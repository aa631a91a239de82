"""Checks that every service passes alike; each names in its message what a user would notice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_for(what: str, probe: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask `probe` until its answer is true; its last error is part of the message when time is up."""
    deadline, last = time.monotonic() + seconds, "no answer"
    while time.monotonic() < deadline:
        try:
            if answer := probe():
                return answer
        except Exception as error:
            last = f"{type(error).__name__}: {error}"
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds} s ({last})")


def show(host: Any, unit: str, name: str) -> str:
    """One property of a unit."""
    return host.check_output("systemctl show --value -p %s %s", name, unit).strip()


def pids(host: Any, unit: str) -> dict[int, str]:
    """Processes of a unit: pid -> user name."""
    found = {}
    for line in host.check_output("ps -e -ww -o pid=,user:40=,unit:80=").splitlines():
        pid, user, owner = [*line.split(), ""][:3]
        if owner == unit:
            found[int(pid)] = user
    assert found, f"{unit} has no process"
    return found


def check_unit(host: Any, unit: str) -> None:
    """Active now, and enabled so that it is active after a reboot."""
    service = host.service(unit)
    assert service.is_running, f"{unit} is {show(host, unit, 'ActiveState')}: journalctl -u {unit}"
    assert service.is_enabled, f"{unit} would not start after a reboot"


def check_runs_as(host: Any, unit: str, user: str) -> None:
    """Every process of the unit belongs to its own user."""
    owners = set(pids(host, unit).values())
    assert owners == {user}, f"{unit} runs as {owners}, not as {user}"


def check_runs_as_nobody_else(host: Any, unit: str) -> None:
    """Every process of the unit belongs to a user that systemd made for it alone (DynamicUser)."""
    wanted = ",".join(map(str, pids(host, unit)))
    owners = {int(uid) for uid in host.check_output("ps -o uid= -p %s", wanted).split()}
    assert all(61184 <= uid <= 65519 for uid in owners), f"{unit} runs as {owners}"


def listening(host: Any, unit: str) -> set[tuple[str, int]]:
    """TCP sockets (address, port) that processes of the unit listen on."""
    # By control group: in a container root may not look into the open files of another user's process.
    found = set()
    for line in host.check_output("ss -Hltn --cgroup").splitlines():
        *_, address_port, _, group = line.split()
        if group.endswith(f"/{unit.removesuffix('.service')}.service"):
            address, port = address_port.rsplit(":", 1)
            found.add((address.strip("[]").removeprefix("::ffff:").split("%")[0], int(port)))
    return found


def check_listens(host: Any, unit: str, expected: set[tuple[str, int]]) -> None:
    """Listens on exactly these (address, port) pairs beside loopback."""
    found = {(a, p) for a, p in listening(host, unit) if a not in ("127.0.0.1", "::1")}
    beyond = {(a, p) for a, p in expected if a not in ("127.0.0.1", "::1")}
    assert found == beyond, f"{unit} listens on {sorted(found)}, expected {sorted(beyond)}"


def check_memory(host: Any, unit: str) -> None:
    """A limit is set, and the unit's resident memory is below it."""
    limit = show(host, unit, "MemoryMax")
    assert limit != "infinity", f"{unit} has no MemoryMax"
    wanted = ",".join(map(str, pids(host, unit)))
    resident = sum(int(n) for n in host.check_output("ps -o rss= -p %s", wanted).split()) * 1024
    assert resident < int(limit), f"{unit} uses {resident >> 20} MiB of {int(limit) >> 20}"


def check_survives_restart(host: Any, unit: str, answers: Callable[[], Any], seconds: float = 90) -> None:
    """After a restart another process answers as the one before."""
    before = show(host, unit, "MainPID")
    restart = host.run("systemctl restart %s", unit)
    assert restart.rc == 0, restart.stderr
    wait_for(f"{unit} answers after a restart", answers, seconds)
    assert show(host, unit, "MainPID") != before, f"{unit} was not restarted"
