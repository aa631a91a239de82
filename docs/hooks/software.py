"""What hosts install, as tables."""

from __future__ import annotations

import sources
from text import codes, table


def version(component: str) -> str:
    """The pinned version of a component of the bill of materials."""
    return sources.bom()[component]["version"]


def pinned(component: str, part: str) -> str:
    """The version of one part in a component's lock file."""
    return dict(sources.lock(component))[part]


def versions() -> str:
    """Table of the bill of materials."""
    return table(
        ["component", "version", "licence", "source", "pinned parts"],
        (
            [
                f"[{name}](#{name})",
                item["version"],
                item["licence"],
                item["source"],
                len(sources.lock(name)),
            ]
            for name, item in sources.bom().items()
        ),
    )


def locks() -> str:
    """For every component, what its lock file pins."""
    return "\n".join(
        f"## {name}\n\nFrom `playbooks/{item['lock']}`.\n\n" + table(["part", "version"], sources.lock(name))
        for name, item in sources.bom().items()
    )


def packages() -> str:
    """Table of Debian's packages on the hosts of each group."""
    return table(
        ["hosts", "packages"], ([group, codes(held)] for group, held in sources.packages().items() if held)
    )
