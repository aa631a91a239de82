"""The network of a site's hosts: a bridge of its own, on a subnet that nothing here uses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import docker
from docker.errors import APIError
from docker.models.networks import Network

from millrace.box import LABEL, machine
from millrace.problem import Problem

CANDIDATES = tuple(
    ipaddress.IPv4Network(text)
    for text in [
        *(f"172.30.{n}.0/24" for n in range(8, 24)),
        *(f"10.213.{n}.0/24" for n in range(8, 24)),
        *(f"192.168.{n}.0/24" for n in range(213, 229)),
    ]
)


def name_of(site: str) -> str:
    return f"millrace-{site}"


def find(client: docker.DockerClient, site: str) -> Network | None:
    """The site's network, if it is there."""
    found = client.networks.list(names=[f"^{name_of(site)}$"], filters={"label": f"{LABEL}={site}"})
    return found[0] if found else None


def make(client: docker.DockerClient, site: str, subnet: str | None) -> Network:
    """The site's network, made when it is not there. Raises Problem when the subnet is in use."""
    there = find(client, site)
    if there is not None:
        if subnet and subnet_of(there) != ipaddress.IPv4Network(subnet):
            raise Problem(
                f"Site {site} already has {subnet_of(there)}: leave --subnet out, "
                f"or `./millrace down --site {site}`."
            )
        return there
    wanted = plan(client, subnet)
    pool = docker.types.IPAMPool(subnet=str(wanted), gateway=str(wanted[1]))
    try:
        return client.networks.create(
            name_of(site),
            driver="bridge",
            labels={LABEL: site},
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
        )
    except APIError as error:
        raise Problem(f"The engine could not make a network on {wanted}: {error.explanation}") from error


def plan(client: docker.DockerClient, subnet: str | None) -> ipaddress.IPv4Network:
    """The subnet that a new site gets. Raises Problem when the one asked for is in use."""
    used = [*machine.routes(), *_engine_subnets(client)]
    return choose(used, CANDIDATES) if subnet is None else check_free(subnet, used)


def subnet_of(network: Network) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"])


def choose(
    used: Iterable[ipaddress.IPv4Network], candidates: Iterable[ipaddress.IPv4Network]
) -> ipaddress.IPv4Network:
    """The first candidate that overlaps nothing in use. Raises Problem."""
    taken = list(used)
    for candidate in candidates:
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise Problem(
        "Every subnet that Millrace tries is in use here: give a free one with --subnet A.B.C.0/24."
    )


def check_free(subnet: str, used: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """The subnet that was asked for. Raises Problem when it is not one or overlaps one in use."""
    try:
        wanted = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise Problem(
            f"--subnet {subnet} is no IPv4 network ({error}): give one like 172.30.8.0/24."
        ) from error
    if not 8 <= wanted.prefixlen <= 27:
        raise Problem(f"--subnet {subnet} has no room for the hosts: give one like 172.30.8.0/24.")
    for other in used:
        if wanted.overlaps(other):
            raise Problem(f"--subnet {subnet} overlaps {other}, which this machine uses: leave --subnet out.")
    return wanted


def _engine_subnets(client: docker.DockerClient) -> list[ipaddress.IPv4Network]:
    found = []
    for network in client.networks.list():
        for config in (network.attrs.get("IPAM") or {}).get("Config") or ():
            subnet = ipaddress.ip_network(config["Subnet"])
            if isinstance(subnet, ipaddress.IPv4Network):
                found.append(subnet)
    return found
