"""The map of hosts and connections as an SVG, drawn from the map of connections.

Groups stand in rows: the world outside, edge, the working groups, store. Connections between
two groups are one arrow; Prometheus' scrapes, which go everywhere, are dots.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import sources

WIDTH, GAP, LINE, HEAD, PAD = 168, 16, 17, 26, 8
LANES = 4
ROWS: list[list[str]] = [["outside"], ["edge"], ["observe", "train", "serve", "stream"], ["store"]]
CAPTIONS = {"outside": "browsers, clients, notebooks anywhere"}
ROOM = 40  # between two rows, for the arrows


@dataclass
class Box:
    """Where a group stands in the picture, in pixels."""

    row: int
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


def draw() -> str:
    """The map as inline SVG inside a figure that scrolls by itself on a narrow screen."""
    boxes = place()
    total = LANES * WIDTH + (LANES - 1) * GAP
    height = max(box.bottom for box in boxes.values())
    parts = [f'<svg viewBox="-2 -2 {total + 4} {height + 4:.0f}" role="img" aria-label="Map of connections">']
    parts.append(
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
    )
    parts += [arrow(boxes[a], boxes[b], f"{a} to {b}: {', '.join(s)}") for (a, b), s in connections().items()]
    parts += [line for group, box in boxes.items() for line in paint(group, box)]
    return '<figure class="site-map" markdown="0">' + "".join(parts) + "</svg></figure>"


def members(group: str) -> dict[str, dict[str, Any]]:
    """Services of a group."""
    return {name: service for name, service in sources.services().items() if service["group"] == group}


def place() -> dict[str, Box]:
    """A box for each group; alone in its row it is as wide as the picture."""
    boxes, top = {}, 0.0
    for number, row in enumerate(ROWS):
        width = WIDTH if len(row) > 1 else LANES * WIDTH + (LANES - 1) * GAP
        lanes = 1 if len(row) > 1 else LANES
        for column, group in enumerate(row):
            lines = -(-len(members(group)) // lanes)
            height = HEAD + lines * LINE + (PAD if lines else 0)
            boxes[group] = Box(number, column * (WIDTH + GAP), top, width, height)
        tallest = max(boxes[group].height for group in row)
        for group in row:
            boxes[group].height = tallest
        top += tallest + ROOM
    return boxes


def connections() -> dict[tuple[str, str], list[str]]:
    """Arrows: (from, to) -> services. Inside a group, from everywhere and from observe are not drawn."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for name, service in sources.services().items():
        for source in service["from"]:
            if source not in (service["group"], "all", "observe") and service["group"] != "all":
                arrows.setdefault((source, service["group"]), []).append(name)
    return arrows


def arrow(source: Box, target: Box, title: str) -> str:
    """A vertical arrow in the narrower box's lane; past a row in between it runs in the gap."""
    narrow = min(source, target, key=lambda box: box.width)
    down = source.row < target.row
    if source.row == target.row:
        start, end = sorted((source.middle, target.middle))
        y = source.bottom + PAD
        path = f"M{start},{y} L{end},{y}"
    else:
        shift = 0 if abs(source.row - target.row) > 1 or narrow.width > WIDTH else (-20 if down else 20)
        x = narrow.middle + shift
        path = f"M{x},{source.bottom if down else source.y} L{x},{target.y if down else target.bottom}"
    return f'<path class="arrow" d="{path}" marker-end="url(#tip)"><title>{escape(title)}</title></path>'


def paint(group: str, box: Box) -> list[str]:
    """A group's box, its name and its services."""
    lanes = LANES if box.width > WIDTH else 1
    parts = [
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>',
        f'<text class="group" x="{box.x + PAD}" y="{box.y + 18}">{group}</text>',
    ]
    if caption := CAPTIONS.get(group):
        parts.append(f'<text x="{box.x + 80}" y="{box.y + 18}">{escape(caption)}</text>')
    for number, (name, service) in enumerate(members(group).items()):
        x = box.x + PAD + (number % lanes) * (WIDTH + GAP)
        y = box.y + HEAD + 13 + number // lanes * LINE
        if "metrics" in service:
            parts.append(f'<circle cx="{x + 4}" cy="{y - 4}" r="3"/>')
        parts.append(
            f'<text x="{x + 14}" y="{y}">{escape(name)} {service["port"]}'
            f"<title>{escape(service['about'])}; from {escape(', '.join(service['from']))}</title></text>"
        )
    return parts
