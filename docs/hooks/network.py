"""The map of connections as tables: ports, names, what Prometheus asks and when it warns."""

from __future__ import annotations

import sources
from settings import site
from text import code, codes, table


def port(name: str) -> int:
    """The (first) port of a service."""
    return sources.services()[name]["port"]


def port_range(name: str) -> str:
    """`8501`, or the first and last port where a service has several."""
    service = sources.services()[name]
    first, span = service["port"], service.get("span", 1)
    if isinstance(span, int):
        return str(first) if span == 1 else f"{first}-{first + span - 1}"
    return f"{first} and up"


def ports(*names: str) -> str:
    """Table of the services of the map of connections; all of them without names."""
    return table(
        ["service", "hosts", "port", "who may connect", "what for"],
        (
            [
                code(name),
                service["group"] + (", the first" if service.get("first") else ""),
                port_range(name) + (" (TCP and UDP)" if service.get("udp") else ""),
                ", ".join(service["from"]),
                service["about"],
            ]
            for name, service in sources.services().items()
            if not names or name in names
        ),
    )


def names(*only: str) -> str:
    """Table of the names and SRV records that the zone holds for services."""
    domain = site("site_domain")
    return table(
        ["service", "name", "leads to", "SRV record"],
        (
            [
                code(name),
                codes(f"{label}.{domain}" for label in service.get("name", [])),
                "gateway" if service.get("gateway") or name == "gateway" else "hosts",
                code(f"{service['srv']}.{domain}") if "srv" in service else "",
            ]
            for name, service in sources.services().items()
            if (not only or name in only) and ("name" in service or "srv" in service)
        ),
    )


def gateway_names() -> str:
    """Table of the names that the gateway serves pages under."""
    ends = (site("site_domain"), "localhost")
    return table(
        ["name", "service"],
        (
            [codes(f"{label}.{end}" for label in service["name"] for end in ends), service["about"]]
            for service in sources.services().values()
            if service.get("gateway")
        ),
    )


def targets() -> str:
    """Table of what Prometheus scrapes."""
    return table(
        ["service", "port", "path"],
        (
            [code(name), port_range(name), code(service["metrics"])]
            for name, service in sources.services().items()
            if "metrics" in service
        ),
    )


def alerts() -> str:
    """Table of Prometheus' alert rules."""
    rules = [rule for group in sources.alert_groups() for rule in group["rules"] if "alert" in rule]
    return table(
        ["alert", "when", "for"],
        ([code(rule["alert"]), code(rule["expr"]), rule.get("for", "")] for rule in rules),
    )
