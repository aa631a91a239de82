"""Markdown from values: tables and inline code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table; cells are put on one line, columns without any text are left out."""
    lines = [[cell(value) for value in row] for row in rows]
    kept = [(number, name) for number, name in enumerate(head) if any(line[number] for line in lines)]
    marked = [[name for _, name in kept], ["---"] * len(kept)]
    marked += [[line[number] for number, _ in kept] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in marked) + "\n"


def cell(value: Any) -> str:
    """Text of a table's cell; a bar divides columns unless it stands in code."""
    parts = re.split(r"(`+[^`]+`+)", " ".join(str(value).split()))
    return "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)


def code(value: Any) -> str:
    """A value as inline code, as YAML writes it on one line."""
    if isinstance(value, str) and value:
        text = value
    else:
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def codes(values: str | Iterable[str]) -> str:
    """Several values as inline code."""
    return ", ".join(code(value) for value in ([values] if isinstance(values, str) else values))
