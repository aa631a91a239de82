"""A role asks another host only for what the map of connections lets its hosts ask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
URL = re.compile(r"https://(?P<host>.+?):\{\{ site_services\.(?P<service>\w+)\.port")
# Names under which a host asks itself.
OWN = ("site_fqdn", "site_address", "gateway_listen")


def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((PLAYBOOKS / "group_vars/all/services.yml").read_text())["site_services"]


def asked() -> list[tuple[str, str, str]]:
    """(group that asks, role, service of another host) in the tasks of all roles."""
    plays = yaml.safe_load((PLAYBOOKS / "site.yml").read_text())
    return [
        (play["hosts"], role["role"], match["service"])
        for play in plays
        for role in play["roles"]
        for path in sorted(PLAYBOOKS.glob(f"roles/{role['role']}/tasks/*.yml"))
        for match in URL.finditer(path.read_text())
        if not any(name in match["host"] for name in OWN)
    ]


@pytest.mark.parametrize(("group", "role", "service"), asked())
def test_a_role_may_ask_what_its_tasks_ask(group: str, role: str, service: str) -> None:
    assert {group, "all", "outside"} & set(services()[service]["from"]), (
        f"{role} asks {service} from the hosts of {group}: add {group} to its `from`"
    )


def test_some_role_asks_another_host() -> None:
    assert ("train", "spark", "spark_master_ui") in asked()
