"""A bad inventory or host is refused with a sentence that names the fix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from millrace.preflight.checks import GROUPS, Demands, Host, Inventory, host_problems, inventory_problems

SOUND = Inventory(
    groups={group: ["node1"] for group in GROUPS},
    addresses={"node1": "192.0.2.10", "node2": "192.0.2.11"},
    names={"node1": ["kafka_heap", "site_domain", "ansible_host", "my_own"], "node2": []},
)
DEMANDS = Demands({"Debian": ["13"]}, memory_mb=3500, disk_mb=5000, clock_s=60, site="home 0a1b")
GOOD = Host("node1", "Debian", "13", memory_mb=8000, disk_mb=20000, clock_s=0.4)


@pytest.fixture
def playbooks(tmp_path: Path) -> Path:
    """Playbooks of a site with one role."""
    role = tmp_path / "roles/kafka"
    for folder in ("tasks", "meta"):
        (role / folder).mkdir(parents=True)
    (role / "tasks/main.yml").write_text("[]")
    (role / "meta/argument_specs.yml").write_text(
        "argument_specs: {main: {options: {kafka_heap: {type: str}, kafka_enabled: {type: bool}}}}"
    )
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / "group_vars/all/site.yml").write_text("site_domain: millrace.internal\nsite_name: home\n")
    return tmp_path


def test_sound_inventory_passes(playbooks: Path) -> None:
    assert inventory_problems(SOUND, playbooks) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"groups": {**SOUND.groups, "store": []}},
            "Group 'store' of the inventory is empty: put at least one host into it.",
        ),
        (
            {"names": {"node1": [], "node2": ["kafka_heep"]}},
            "Unknown variable 'kafka_heep' is set for host 'node2': write 'kafka_heap' or remove it.",
        ),
        (
            {"names": {"node1": ["site_domian"]}},
            "Unknown variable 'site_domian' is set for host 'node1': write 'site_domain' or remove it.",
        ),
        (
            {"names": {"node1": ["kakfa_heap"]}},
            "Unknown variable 'kakfa_heap' is set for host 'node1': write 'kafka_heap' or remove it.",
        ),
        (
            {"names": {"node1": ["site_xyzzyplugh"]}},
            "Unknown variable 'site_xyzzyplugh' is set for host 'node1': remove it.",
        ),
        (
            {"addresses": {"node1": "node1.example.com"}},
            "The address 'node1.example.com' of host 'node1' is not an IP address: set site_address "
            "of the host to its address in the site's network.",
        ),
        (
            {"addresses": {"node1": "192.0.2.10", "node2": "192.0.2.10"}},
            "Hosts 'node1' and 'node2' have the same address 192.0.2.10: "
            "give each host its own site_address.",
        ),
        (
            {"addresses": {"Node_1": "192.0.2.10"}},
            "Host 'Node_1' cannot be a DNS name: call it by one word of lower-case letters, digits and '-' "
            "in the inventory, and put its address into ansible_host.",
        ),
        (
            {"addresses": {"node1": "2001:db8::2"}},
            "The address 2001:db8::2 of host 'node1' is IPv6, which services cannot listen on yet: "
            "set site_address of the host to an IPv4 address.",
        ),
        (
            {"settings": {"site_sizing": {"node1": "small", "node2": "small", "node3": "large"}}},
            "Hosts 'node1' and 'node3' have different values of site_sizing: set it once, for the group all.",
        ),
        (
            {"domain": "ml_site.example.com"},
            "site_domain 'ml_site.example.com' is not a DNS name: use a-z, 0-9, '-' and '.'.",
        ),
    ],
)
def test_bad_inventory_is_refused(playbooks: Path, change: dict, sentence: str) -> None:
    assert inventory_problems(replace(SOUND, **change), playbooks) == [sentence]


def test_good_host_passes() -> None:
    assert host_problems(GOOD, DEMANDS) == []
    assert host_problems(replace(GOOD, site="home 0a1b"), DEMANDS) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"release": "12"},
            "Host 'node1' runs Debian 12: install Debian 13 on it, or name another host.",
        ),
        (
            {"distribution": "Ubuntu", "release": "24"},
            "Host 'node1' runs Ubuntu 24: install Debian 13 on it, or name another host.",
        ),
        (
            {"memory_mb": 1024},
            "Host 'node1' has 1024 MB of memory and needs 3500 MB: give it more, "
            "or lower preflight_memory_mb if you know better.",
        ),
        (
            {"disk_mb": 900},
            "Host 'node1' has 900 MB of free disk and needs 5000 MB: free some, "
            "or lower preflight_disk_mb if you know better.",
        ),
        (
            {"clock_s": -3600.0},
            "The clock of host 'node1' is 3600 s behind this machine's: set both to the right time.",
        ),
        (
            {"site": "work 9f9f"},
            "Host 'node1' belongs to site 'work', not to 'home': take it out of this inventory, "
            "or remove /etc/millrace/site on it when the other site has given it up.",
        ),
        (
            {"site": "home 9f9f"},
            "Host 'node1' was converged with other secrets of site 'home': restore the site's state "
            "directory (site_state), or remove /etc/millrace/site on the host to start over.",
        ),
    ],
)
def test_bad_host_is_refused(change: dict, sentence: str) -> None:
    assert host_problems(replace(GOOD, **change), DEMANDS) == [sentence]


def test_full_disk_does_not_stop_a_host_that_is_part_of_the_site() -> None:
    assert host_problems(replace(GOOD, disk_mb=900, site="home 0a1b"), DEMANDS) == []
