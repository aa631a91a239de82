"""Checks of an inventory and of its hosts; every finding is one sentence that names the fix."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from millrace.preflight import variables

GROUPS = ("edge", "store", "train", "stream", "serve", "observe")
# One label of a DNS name (RFC 1123).
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Inventory:
    """An inventory as Ansible resolved it.

    Attributes:
        groups: group -> names of its hosts.
        addresses: host -> `site_address` as the inventory gives it.
        names: host -> names of all variables that are set for it.
        domain: `site_domain`.
        settings: name of a variable of the whole site -> host -> its value there.
    """

    groups: Mapping[str, Sequence[str]]
    addresses: Mapping[str, str]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    domain: str = "millrace.internal"
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def inventory_problems(inventory: Inventory, playbooks: Path) -> list[str]:
    """All that is wrong with an inventory, before any host is asked; empty when it is sound."""
    return [
        *_groups(inventory),
        *_names(inventory),
        *_addresses(inventory),
        *_settings(inventory),
        *_variables(inventory, playbooks),
    ]


def _groups(inventory: Inventory) -> list[str]:
    return [
        f"Group '{group}' of the inventory is empty: put at least one host into it."
        for group in GROUPS
        if not inventory.groups.get(group)
    ]


def _names(inventory: Inventory) -> list[str]:
    problems = []
    if not all(LABEL.fullmatch(label) for label in inventory.domain.split(".")):
        problems.append(f"site_domain '{inventory.domain}' is not a DNS name: use a-z, 0-9, '-' and '.'.")
    problems += [
        f"Host '{host}' cannot be a DNS name: call it by one word of lower-case letters, digits and '-' "
        "in the inventory, and put its address into ansible_host."
        for host in inventory.addresses
        if not LABEL.fullmatch(host)
    ]
    return problems


def _addresses(inventory: Inventory) -> list[str]:
    problems, seen = [], dict[object, str]()
    for host, given in inventory.addresses.items():
        try:
            address = ipaddress.ip_address(given)
        except ValueError:
            problems.append(
                f"The address '{given}' of host '{host}' is not an IP address: set site_address of the host "
                "to its address in the site's network."
            )
            continue
        if address in seen:
            problems.append(
                f"Hosts '{seen[address]}' and '{host}' have the same address {address}: "
                "give each host its own site_address."
            )
        seen[address] = host
        # Services write address:port, which an IPv6 address is ambiguous in.
        if address.version != 4:
            problems.append(
                f"The address {address} of host '{host}' is IPv6, which services cannot listen on yet: "
                "set site_address of the host to an IPv4 address."
            )
    return problems


def _settings(inventory: Inventory) -> list[str]:
    problems = []
    for name, values in inventory.settings.items():
        first = next(iter(values), "")
        for host, value in values.items():
            if value != values[first]:
                problems.append(
                    f"Hosts '{first}' and '{host}' have different values of {name}: "
                    "set it once, for the group all."
                )
                break
    return problems


def _variables(inventory: Inventory, playbooks: Path) -> list[str]:
    known, role_names = variables.declared(playbooks), variables.roles(playbooks)
    holders: dict[str, list[str]] = {}
    for host, names in inventory.names.items():
        for name in names:
            holders.setdefault(name, []).append(host)
    problems = []
    for name, near in variables.unknown(holders, known, role_names).items():
        fix = f"write '{near}' or remove it" if near else "remove it"
        problems.append(f"Unknown variable '{name}' is set for host '{holders[name][0]}': {fix}.")
    return problems


@dataclass(frozen=True)
class Host:
    """What a host said of itself.

    Attributes:
        name: name in the inventory.
        distribution, release: as in `ansible_facts`, for example "Debian", "13".
        memory_mb: memory in MB.
        disk_mb: free disk where the site's files go, in MB; asked only of a host that holds no site yet.
        clock_s: how far its clock is from the control machine's, in seconds.
        site: content of the marker file, "<name> <id>", or empty.
    """

    name: str
    distribution: str
    release: str
    memory_mb: int
    disk_mb: int
    clock_s: float
    site: str = ""


@dataclass(frozen=True)
class Demands:
    """What a host must offer.

    Attributes:
        releases: distribution -> releases that are supported.
        memory_mb, disk_mb: least memory and free disk, in MB.
        clock_s: farthest the clock may be off, in seconds.
        site: marker of this site, "<name> <id>".
    """

    releases: Mapping[str, Sequence[str]]
    memory_mb: int
    disk_mb: int
    clock_s: float
    site: str


def host_problems(host: Host, demands: Demands) -> list[str]:
    """All that keeps a host from being converged; empty when nothing does."""
    problems = []
    if host.release not in demands.releases.get(host.distribution, ()):
        supported = ", ".join(f"{d} {r}" for d, releases in demands.releases.items() for r in releases)
        problems.append(
            f"Host '{host.name}' runs {host.distribution} {host.release}: install {supported} on it, "
            "or name another host."
        )
    if host.memory_mb < demands.memory_mb:
        problems.append(
            f"Host '{host.name}' has {host.memory_mb} MB of memory and needs {demands.memory_mb} MB: "
            "give it more, or lower preflight_memory_mb if you know better."
        )
    if not host.site and host.disk_mb < demands.disk_mb:
        problems.append(
            f"Host '{host.name}' has {host.disk_mb} MB of free disk and needs {demands.disk_mb} MB: "
            "free some, or lower preflight_disk_mb if you know better."
        )
    if abs(host.clock_s) > demands.clock_s:
        problems.append(
            f"The clock of host '{host.name}' is {abs(host.clock_s):.0f} s "
            f"{'ahead of' if host.clock_s > 0 else 'behind'} this machine's: set both to the right time."
        )
    if host.site and host.site != demands.site:
        problems.append(_two_sites(host.name, host.site, demands.site))
    return problems


def _two_sites(host: str, found: str, wanted: str) -> str:
    (theirs, _, their_id), (ours, _, our_id) = found.partition(" "), wanted.partition(" ")
    if theirs == ours and their_id != our_id:
        return (
            f"Host '{host}' was converged with other secrets of site '{ours}': restore the site's state "
            "directory (site_state), or remove /etc/millrace/site on the host to start over."
        )
    return (
        f"Host '{host}' belongs to site '{theirs}', not to '{ours}': take it out of this inventory, "
        "or remove /etc/millrace/site on it when the other site has given it up."
    )
