"""A role's defaults are its whole interface, and its argument specs say the same."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
ROLES = sorted(path.parents[1].name for path in PLAYBOOKS.glob("roles/*/tasks/main.yml"))


def defaults(role: str) -> dict[str, Any]:
    path = PLAYBOOKS / "roles" / role / "defaults/main.yml"
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def options(role: str) -> dict[str, Any]:
    path = PLAYBOOKS / "roles" / role / "meta/argument_specs.yml"
    return yaml.safe_load(path.read_text())["argument_specs"]["main"].get("options", {})


@pytest.mark.parametrize("role", ROLES)
def test_specs_equal_defaults(role: str) -> None:
    specified = {
        name: option["default"] for name, option in options(role).items() if not option.get("required")
    }
    assert specified == defaults(role)


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_starts_with_the_roles_name(role: str) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_default_has_a_comment_and_every_option_a_description(role: str) -> None:
    path = PLAYBOOKS / "roles" / role / "defaults/main.yml"
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = itertools.pairwise(lines)
    bare = [line for above, line in pairs if re.match(r"\w+:", line) and not above.startswith("#")]
    assert bare == []
    assert [name for name, option in options(role).items() if not option.get("description")] == []


@pytest.mark.parametrize("role", ROLES)
def test_empty_default_shows_an_example(role: str) -> None:
    path = PLAYBOOKS / "roles" / role / "defaults/main.yml"
    text = path.read_text() if path.exists() else ""
    empty = [name for name, value in defaults(role).items() if value in ("", [], {})]
    assert [name for name in empty if not re.search(rf"# Example: .*{name}", text)] == []
