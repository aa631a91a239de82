"""What Ansible makes of an inventory: the one place where its variables are resolved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millrace import project
from millrace.problem import Problem
from millrace.site import Host, Site


def variables(
    inventories: Sequence[Path | str], names: Sequence[str], hosts: str = "all"
) -> dict[str, dict[str, Any]]:
    """Host name -> {variable: value with templates resolved, None if undefined}. Raises Problem."""
    wanted = "{{ {" + ", ".join(f"'{name}': {name} | default(none)" for name in names) + "} }}"
    run = subprocess.run(
        [tool("ansible"), hosts, *arguments(inventories), "--playbook-dir", project.playbooks(),
         "-m", "ansible.builtin.debug", "-a", f"msg={wanted}"],
        env=environment() | {
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"},
        cwd=project.playbooks(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {}
    for line in run.stdout.splitlines():
        head, arrow, body = line.partition("=>")
        if arrow and "| SUCCESS" in head:
            found[head.split("|")[0].strip()] = json.loads(body)["msg"]
    if run.returncode or not found:
        said = (run.stderr.strip() or run.stdout.strip() or "it names no host").splitlines()
        raise Problem(f"Ansible cannot read the inventory {' '.join(map(str, inventories))}: {said[-1]}")
    return found


def describe(inventories: Sequence[Path | str]) -> Site:
    """The site that inventories describe. Raises Problem."""
    own = ["ansible_host", "ansible_user", "ansible_port", "ansible_ssh_private_key_file", "ansible_become",
           "group_names", "groups"]  # fmt: skip
    found = variables(
        inventories,
        [*own, "site_name", "site_address", "site_domain", "site_gateway", "site_state", "site_users"],
    )
    first = next(iter(found.values()))
    # Ansible tells of a host when it is done with it: the inventory's order is in its groups.
    groups = {group: tuple(members) for group, members in first["groups"].items()}
    hosts = tuple(
        Host(
            name=name,
            address=v["ansible_host"] or v["site_address"] or name,
            ssh_key=v["ansible_ssh_private_key_file"] or "",
            groups=tuple(v["group_names"]),
            user=v["ansible_user"] or "",
            port=int(v["ansible_port"] or 0),
            become=str(v["ansible_become"]).lower() in ("true", "yes", "on", "1"),
        )
        for name, v in sorted(found.items(), key=lambda item: groups["all"].index(item[0]))
    )
    state = Path(first["site_state"])
    return Site(
        name=first["site_name"],
        directory=state,
        gateway=first["site_gateway"],
        ca=str(state / "ca" / "ca.crt"),
        domain=first["site_domain"],
        secrets=str(state / "secrets.yml"),
        hosts=hosts,
        groups=groups,
        inventories=tuple(str(p) for p in inventories),
        users=tuple(_user(u) for u in first["site_users"] or ()),
    )


def _user(declared: dict[str, Any]) -> dict[str, str]:
    user = {"name": declared["name"], "group": declared["group"]}
    return {**user, "password": "hashed"} if declared.get("password_hash") else user


def arguments(inventories: Sequence[Path | str]) -> list[str]:
    """`-i` for each inventory."""
    return [word for path in inventories for word in ("-i", str(path))]


def tool(name: str) -> str:
    """A program of Ansible's in this Python environment."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise Problem(f"{name} is not installed beside {sys.executable}: start Millrace as ./millrace.")
    return str(path)


def environment() -> dict[str, str]:
    """Environment in which Ansible finds this project's configuration and prints no colours."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(project.playbooks() / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "PYTHONUNBUFFERED": "1",
    }
