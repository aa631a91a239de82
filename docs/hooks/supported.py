"""What is supported, as a table: each row names the test that shows it."""

from __future__ import annotations

import re
from typing import Any

import sources
from text import code, table


def rows() -> list[dict[str, Any]]:
    """The rows of tests/docs/supported.yml."""
    return sources.load(sources.ROOT / "tests/docs/supported.yml")


def supported() -> str:
    """A table with the version that the locks pin and the test."""
    return table(
        ["what", "of which kind", "tested with", "shown by"],
        ([row["what"], row["kind"], tested_with(row), code(row["test"])] for row in rows()),
    )


def tested_with(row: dict[str, Any]) -> str:
    """The version of a row's package in its lock. Raises LookupError when the lock has none."""
    if "of" not in row:
        return ""
    lock = (sources.ROOT / f"requirements/{row['of']}.txt").read_text()
    if found := re.search(rf"^{re.escape(row['package'])}(?:\[[^]]*\])?==([^\s;\\]+)", lock, re.M):
        return found[1]
    raise LookupError(f"requirements/{row['of']}.txt pins no {row['package']}")
