"""What a prediction costs, read from the table that tests.bench.serving writes into its page."""

from __future__ import annotations

import functools

import sources
from mkdocs.exceptions import PluginError


@functools.cache
def _measured() -> dict[str, float]:
    """CPU of a request in us, by title of the case."""
    page = (sources.ROOT / "docs/explanation/speed.md").read_text()
    table = page.partition("| | CPU, us a request |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {row[0]: float(row[1]) for row in rows}


def cost(title: str) -> str:
    """CPU of a request in us."""
    if title not in _measured():
        raise PluginError(f"docs/explanation/speed.md measures no {title!r}")
    return f"{_measured()[title]:.0f}"


def times_cheaper(title: str) -> str:
    """How many of its predictions one of the baseline's pays for."""
    measured = _measured()
    cost(title)
    return f"{next(iter(measured.values())) / measured[title]:.0f}"
