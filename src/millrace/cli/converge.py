"""`ansible-playbook site.yml` as the demo runs it: all output in a log, role by role on the screen."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence

import yaml

from millrace import ansible, project
from millrace.cli import program
from millrace.problem import Problem
from millrace.site import Site

HEAD = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?:(?P<role>[\w.]+) : )?(?P<task>.*?)\] \*+$")
RECAP = re.compile(r"^(?P<host>\S+)\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+).* failed=(?P<failed>\d+)")
FAILURE = re.compile(r"^(?:fatal: \[|failed: \[|\[ERROR\]: |ERROR! )")
# A certificate is renewed by any later run, so a site is converged again now and then though nothing changed.
STALE = 7 * 86400


class Follower:
    """Reads Ansible's output line by line: seconds and changes by role, and the last failure.

    `order` names the roles of the playbook. What one includes, or does again in a handler, counts as its own.
    """

    def __init__(self, order: Sequence[str], note: Callable[[str], None], say: Callable[[str], None]) -> None:
        self._order = list(order)
        self._note, self._say = note, say
        self._role, self._since, self._changes = "", time.monotonic(), 0
        self._task = ""
        self._failure: list[str] = []
        self._in_failure = False
        self.changed = 0

    def line(self, line: str) -> None:
        """One line of output."""
        head = HEAD.match(line)
        if head:
            self._in_failure = False
            if head["role"] in self._order:
                self._enter(head["role"])
                self._order = self._order[self._order.index(head["role"]) :]
            self._task = f"{head['role']}: {head['task']}" if head["role"] else head["task"]
            self._note(self._task)
        elif line.startswith("changed: ["):
            self._changes += 1
        elif FAILURE.match(line):
            if not self._in_failure:
                self._failure = [self._task] if self._task else []
            self._in_failure = True
            self._failure.append(line)
        elif line.startswith("...ignoring") or line.startswith("PLAY RECAP"):
            self._failure = [] if line.startswith("...") else self._failure
            self._in_failure = False
        elif self._in_failure and line.strip():
            self._failure.append(line)
        recap = RECAP.match(line)
        if recap:
            self.changed += int(recap["changed"])

    def close(self) -> None:
        """The output is over: the last role is too."""
        self._enter("")

    def _enter(self, role: str) -> None:
        if role == self._role:
            return
        seconds = time.monotonic() - self._since
        if self._role:
            changes = f", {self._changes} changed" if self._changes else ""
            self._say(f"{self._role:<14} {seconds:5.1f} s{changes}")
        self._role, self._since, self._changes = role, time.monotonic(), 0

    @property
    def failure(self) -> str:
        """The task that failed and what it said, for people."""
        return "\n".join(line[:400] for line in self._failure[:14])


def run(site: Site, note: Callable[[str], None], say: Callable[[str], None], *extra: str) -> int:
    """Converge a site; `extra` are further words for ansible-playbook. Returns the number of changed tasks.

    Raises Problem with the task that failed.
    """
    log = site.directory / "logs" / "converge.log"
    follower = Follower(roles(), note, say)
    words = [ansible.tool("ansible-playbook"), *ansible.arguments(site.inventories), "site.yml", *extra]
    code = program.run(words, log, follower.line, ansible.environment(), project.playbooks())
    follower.close()
    if code:
        raise Problem(f"site.yml failed: {follower.failure or 'no task says why'}\nThe whole output: {log}")
    return follower.changed


def roles() -> list[str]:
    """Roles of site.yml, in order."""
    plays = yaml.safe_load((project.playbooks() / "site.yml").read_text())
    return [role["role"] for play in plays for role in play.get("roles", ())]


def fingerprint(site: Site) -> dict[str, object]:
    """All that decides what a converged site looks like."""
    from millrace.artifacts import load_bom

    bom = load_bom()
    return {
        "playbooks": project.digest([project.playbooks(), site.directory / "inventory"]),
        "artifacts": sorted(bom.id(name) for name in bom.components),
        "containers": dict(site.containers),
    }


def unchanged(site: Site) -> bool:
    """Whether nothing that decides has changed since the last converge that ended well."""
    stamp = site.directory / "converged.json"
    try:
        return (
            json.loads(stamp.read_text()) == fingerprint(site) and time.time() - stamp.stat().st_mtime < STALE
        )
    except (OSError, ValueError):
        return False


def keep(site: Site) -> None:
    """Remember that the site is converged to what is there now."""
    (site.directory / "converged.json").write_text(json.dumps(fingerprint(site)))
