"""Names of the variables that roles and playbooks declare, and the nearest one to a misspelled name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any

import yaml

# Facts that role preflight sets: an inventory file may not declare them, a run may hold them.
FACTS = frozenset({"site_secrets"})
# A name this near to a declared one is taken for a slip of the pen, whatever it starts with.
SLIP = 0.9


def roles(playbooks: Path) -> list[str]:
    """Names of the roles below `playbooks`, sorted."""
    return sorted(path.parents[1].name for path in playbooks.glob("roles/*/tasks/main.yml"))


def declared(playbooks: Path) -> set[str]:
    """Every variable an inventory may set: options of roles, and group variables beside the playbooks."""
    names: set[str] = set(FACTS)
    for path in playbooks.glob("roles/*/meta/argument_specs.yml"):
        for entry in _mapping(path).get("argument_specs", {}).values():
            names.update(entry.get("options", {}))
    for path in playbooks.glob("group_vars/**/*.yml"):
        names.update(_mapping(path))
    return names


def unknown(names: Iterable[str], known: Set[str], role_names: Iterable[str]) -> dict[str, str | None]:
    """Names that look like ours but are declared nowhere, each with the nearest declared name or None.

    A name looks like ours when it starts with `site_` or a role's name, or is nearly a declared one.
    """
    prefixes = ("site_", *(f"{role}_" for role in role_names))
    found: dict[str, str | None] = {}
    for name in sorted(set(names) - known):
        if name.startswith(prefixes):
            found[name] = next(iter(difflib.get_close_matches(name, known, 1, 0.6)), None)
        elif near := difflib.get_close_matches(name, known, 1, SLIP):
            found[name] = near[0]
    return found


def _mapping(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text())
    return document if isinstance(document, dict) else {}
