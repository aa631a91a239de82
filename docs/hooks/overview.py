"""Lists of pages, and what pages take from the code."""

from __future__ import annotations

import sources
import yaml
from text import codes


def component_pages() -> list[dict[str, str]]:
    """The component pages in the order of `site.yml`: file name, title, roles, groups of hosts."""
    order, found = list(sources.plays()), []
    for path in (sources.ROOT / "docs/components").glob("*.md"):
        _, head, body = path.read_text().split("---\n", 2)
        held = yaml.safe_load(head).get("roles", [])
        if not held:
            continue
        groups = dict.fromkeys(sources.plays().get(role, "all") for role in held)
        first = min((order.index(role) for role in held if role in order), default=len(order))
        title = body.strip().splitlines()[0].lstrip("# ")
        found.append(
            (first, {"name": path.name, "title": title, "roles": codes(held), "groups": ", ".join(groups)})
        )
    return [page for _, page in sorted(found, key=lambda pair: pair[0])]


def decisions() -> str:
    """The list of decision records."""
    paths = sorted((sources.ROOT / "docs/explanation/decisions").glob("[0-9]*.md"))
    titles = ((path, path.read_text().splitlines()[0].split(". ", 1)[1]) for path in paths)
    return "\n".join(f"{int(path.name[:4])}. [{title}]({path.name})" for path, title in titles)


def api() -> str:
    """mkdocstrings' directives for the public Python API: a package's exported names, a module's own."""
    parts = []
    for module, exported in sources.api().items():
        parts.append(f"::: {module}\n" + ("    options:\n      members: false\n" if exported else ""))
        parts += [f"::: {module}.{name}\n    options: {{heading_level: 3}}\n" for name in exported]
    return "\n".join(parts)


def demo_disk() -> str:
    """Free disk that the demo asks for, in GB."""
    from millrace.box import machine

    return f"{machine.DISK / 1e9:.0f}"
