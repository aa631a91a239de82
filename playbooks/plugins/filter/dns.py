"""Filter that groups addresses into the reverse zones that hold them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

# Labels of an address that name a host within its reverse zone: /24 for IPv4, /64 for IPv6.
OWN_LABELS = {4: 1, 6: 16}


def reverse_zones(hosts: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """(name, address) pairs -> zones in order of name: {name, pointers: [{label, host}]}."""
    zones: dict[str, list[dict[str, str]]] = {}
    for host, text in hosts:
        address = ipaddress.ip_address(text)
        labels = address.reverse_pointer.split(".")
        own = OWN_LABELS[address.version]
        zones.setdefault(".".join(labels[own:]), []).append({"label": ".".join(labels[:own]), "host": host})
    return [
        {"name": name, "pointers": sorted(pointers, key=lambda p: p["label"])}
        for name, pointers in sorted(zones.items())
    ]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"reverse_zones": reverse_zones}
