"""Filters that turn what Ansible knows into findings of `millrace.preflight`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    from millrace.preflight import checks
except ImportError as error:
    raise AnsibleFilterError(
        f"These playbooks need Millrace's own Python package ({error}): run them in the environment that "
        "./millrace makes, or install it with `pip install .`."
    ) from error

# Variables that hosts read of each other, or that one host's configuration of another is made from.
SITE_WIDE = ("site_domain", "site_sizing", "site_size")


def inventory_problems(
    hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]], playbooks: str
) -> list[str]:
    """Sentences on what is wrong with the inventory."""
    hosts = groups["all"]
    settings = {name: {host: hostvars[host][name] for host in hosts} for name in SITE_WIDE}
    return checks.inventory_problems(
        checks.Inventory(
            groups=groups,
            addresses={host: str(hostvars[host]["site_address"]) for host in hosts},
            names={host: list(hostvars[host].keys()) for host in hosts},
            domain=str(next(iter(settings["site_domain"].values()), "")),
            settings=settings,
        ),
        Path(playbooks),
    )


def host_problems(
    state: Mapping[str, Any], name: str, facts: Mapping[str, Any], demands: Mapping[str, Any]
) -> list[str]:
    """Sentences on why a host cannot become part of the site; `state`: what module preflight_host said."""
    host = checks.Host(
        name=name,
        distribution=facts["distribution"],
        release=facts["distribution_major_version"],
        memory_mb=facts["memtotal_mb"],
        disk_mb=state["disk_mb"],
        clock_s=state["clock_s"],
        site=state["site"],
    )
    return checks.host_problems(host, checks.Demands(**demands))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"inventory_problems": inventory_problems, "host_problems": host_problems}
