"""site.yml on the site under test, as an operator runs it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from millrace import ansible, project
from tests.site.live import SITE

RECAP = re.compile(r"^(?P<host>\S+)\s+: (?P<counts>ok=\d+ .*)$", re.M)


def site_yml(*words: str | Path, inventories: bool = True) -> subprocess.CompletedProcess[str]:
    """`ansible-playbook site.yml`, with the site's inventories unless `words` give others; stdout has all."""
    own = ansible.arguments(SITE.facts["inventories"]) if inventories else []
    command = [ansible.tool("ansible-playbook"), *own, "site.yml", *words]
    return subprocess.run(
        [str(word) for word in command],
        cwd=project.playbooks(),
        env=ansible.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def recap(output: str) -> dict[str, dict[str, int]]:
    """Host -> {ok, changed, unreachable, failed, ...} as Ansible counts at the end."""
    return {
        found["host"]: {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", found["counts"])}
        for found in RECAP.finditer(output)
    }


def end(output: str) -> str:
    """What to show of a run that went wrong."""
    return output[-4000:]
