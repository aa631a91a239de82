"""What the pages are made from: playbooks, bill of materials, locks. Read, never repeated."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PLAYBOOKS = ROOT / "playbooks"
GROUP_VARS = PLAYBOOKS / "group_vars/all"


class _Loader(yaml.SafeLoader):
    """Ansible's own tags (`!vault`, `!unsafe`) are shown as plain text."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: loader.construct_scalar(node))


def load(path: Path) -> Any:
    """The YAML document in a file; an empty mapping when the file does not exist."""
    return (yaml.load(path.read_text(), _Loader) or {}) if path.exists() else {}


@functools.cache
def services() -> dict[str, dict[str, Any]]:
    """The map of connections: service name -> group, port, from, ..."""
    return load(GROUP_VARS / "services.yml")["site_services"]


@functools.cache
def sizes() -> dict[str, dict[str, dict[str, Any]]]:
    """The sizing table: size name -> service -> setting -> value."""
    return load(GROUP_VARS / "sizing.yml")["site_sizes"]


@functools.cache
def packages() -> dict[str, list[str]]:
    """Debian packages by group of hosts."""
    return load(GROUP_VARS / "packages.yml")["site_packages"]


@functools.cache
def bom() -> dict[str, dict[str, Any]]:
    """The bill of materials: component -> kind, version, licence, source, lock."""
    return load(PLAYBOOKS / "bom.yml")["bom_components"]


@functools.cache
def plays() -> dict[str, str]:
    """Role -> the group of hosts that `site.yml` converges with it, in the order of `site.yml`."""
    return {
        role["role"] if isinstance(role, dict) else role: play["hosts"]
        for play in load(PLAYBOOKS / "site.yml")
        for role in play.get("roles", [])
    }


def roles() -> list[str]:
    """Every role: those of `site.yml` in their order, then those that other roles include."""
    there = {path.parent.parent.name for path in PLAYBOOKS.glob("roles/*/tasks/main.yml")}
    return [*plays(), *sorted(there - plays().keys())]


def role_spec(role: str) -> dict[str, Any]:
    """The `main` entry point of a role's argument specification."""
    return (
        load(PLAYBOOKS / "roles" / role / "meta/argument_specs.yml").get("argument_specs", {}).get("main", {})
    )


def role_defaults(role: str) -> dict[str, Any]:
    """Variables of a role and their defaults."""
    return load(PLAYBOOKS / "roles" / role / "defaults/main.yml")


def role_examples(role: str) -> dict[str, str]:
    """Variable -> its example: the comment `Example: VARIABLE: VALUE` in the defaults."""
    path = PLAYBOOKS / "roles" / role / "defaults/main.yml"
    text = path.read_text() if path.exists() else ""
    return dict(re.findall(r"^# Example: (\w+): (.+)$", text, re.M))


def alert_groups() -> list[dict[str, Any]]:
    """Groups of alert rules that role prometheus installs."""
    return load(PLAYBOOKS / "roles/prometheus/files/millrace.rules.yml")["groups"]


def site_variables() -> list[tuple[str, Any, str]]:
    """Variables of the whole site: name, default, and the comment above it."""
    path = GROUP_VARS / "site.yml"
    values = load(path)
    found, comment = [], []
    # The first line speaks of the file.
    for line in path.read_text().splitlines()[1:]:
        if line.startswith("#"):
            comment.append(line.lstrip("# "))
            continue
        if match := re.match(r"(\w+):", line):
            found.append((match[1], values[match[1]], " ".join(comment)))
        comment = []
    return found


def lock(component: str) -> list[tuple[str, str]]:
    """What a component's lock file pins: (name, version) of every distribution or jar."""
    text = (PLAYBOOKS / bom()[component]["lock"]).read_text()
    if bom()[component]["kind"] not in ("jars", "java"):
        return re.findall(r"^([\w.\-\[\]]+)==([^\s;\\]+)", text, re.M)
    paths = [line.split()[1].split("/") for line in text.splitlines() if line and not line.startswith("#")]
    return [(f"{'.'.join(path[:-3])}:{path[-3]}", path[-2]) for path in paths]


def api() -> dict[str, list[str]]:
    """The public Python API: module -> names that it exports; none stands for all that it defines."""
    modules: dict[str, list[str]] = {
        "millrace": [],
        "millrace.artifacts": [],
        "millrace.models": [],
        "millrace.models.spark": [],
    }
    for module in modules:
        tree = ast.parse((ROOT / "src" / module.replace(".", "/") / "__init__.py").read_text())
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                modules[module] = ast.literal_eval(node.value)
    return modules | {"millrace.models.runtime": [], "millrace.models.registry": []}
