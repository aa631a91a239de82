"""Whether an output is the one that a page shows."""

from __future__ import annotations

import difflib
import re

from tests.docs.rules import normalise

ANY = "..."


def difference(shown: str, real: str, rules: tuple[str, ...] = ()) -> str | None:
    """A diff of what the page shows and what came, None when they agree.

    Spaces at the ends of lines do not count. `...` inside a line stands for anything there, a line of
    nothing else for any number of lines.
    """
    want, got = _lines(shown, rules), _lines(real, rules)
    if re.fullmatch("".join(map(_pattern, want)), "".join(f"{line}\n" for line in got)):
        return None
    diff = difflib.unified_diff(want, got, "in the page", "in reality", lineterm="", n=2)
    return "\n".join(diff)


def _lines(text: str, rules: tuple[str, ...]) -> list[str]:
    lines = [line.rstrip() for line in normalise(text, rules).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _pattern(line: str) -> str:
    if line.strip() == ANY:
        return r"(?:.*\n)*?"
    return r".*?".join(re.escape(part) for part in line.split(ANY)) + r"\n"
