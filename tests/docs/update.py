"""`python -m tests.docs.update PAGE...`: puts the outputs that commands really print into a page.

An output that fits already stays as it is, `...` and all. The change is shown as a diff first.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from tests.docs.block import PageError
from tests.docs.compare import difference
from tests.docs.page import Page
from tests.docs.runner import NoSite, selected
from tests.docs.session import Session, site_directory


def main() -> int:
    """Exit status: 0 when pages are as they should be or were changed, 1 when a command failed."""
    parser = argparse.ArgumentParser(prog="millrace docs update", description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    parser.add_argument("--yes", action="store_true", help="write without asking")
    arguments = parser.parse_args()
    try:
        named = [Page(path) for path in arguments.pages]
        pages = selected(named, site_directory(), throwaway=False, named=True)
        return max((_update(page, arguments.yes) for page in pages), default=0)
    except (NoSite, PageError) as error:
        print(error, file=sys.stderr)
        return 1


def _update(page: Page, sure: bool) -> int:
    before = page.path.read_text()
    after, trouble = renewed(page, site_directory())
    diff = "".join(
        difflib.unified_diff(before.splitlines(True), after.splitlines(True), page.name, page.name)
    )
    if diff:
        print(diff)
        if not sure and not sys.stdin.isatty():
            print("Nobody can be asked whether to write this: say --yes.", file=sys.stderr)
            return 1
        if sure or input(f"Write this to {page.name}? [y/N] ").lower() == "y":
            page.path.write_text(after)
    else:
        print(f"{page.name}: nothing to change")
    for each in trouble:
        print(each, file=sys.stderr)
    return 1 if trouble else 0


def renewed(page: Page, site: Path | None) -> tuple[str, list[str]]:
    """The page's text with real outputs, and what failed in another way than by its output."""
    lines = page.path.read_text().splitlines()
    trouble: list[str] = []
    real: list[tuple[range, str]] = []
    session = Session(page, site if page.head.site != "none" else None)
    try:
        for block in page.blocks:
            if not block.runs:
                continue
            wrong = session.run(block, update=True)
            real += [
                (place, text) for place, text in session.real if _differs(lines, place, text, block.rules)
            ]
            session.real.clear()
            if wrong:
                # What follows would run in a state that no reader has.
                trouble.append(wrong)
                break
    finally:
        trouble += session.close()
    for place, text in sorted(real, key=lambda each: each[0].start, reverse=True):
        lines[place.start - 1 : place.stop - 1] = [line.rstrip() for line in text.splitlines()]
    return "\n".join(lines) + "\n", trouble


def _differs(lines: list[str], place: range, text: str, rules: tuple[str, ...]) -> bool:
    shown = "\n".join(lines[place.start - 1 : place.stop - 1])
    return difference(shown, text, rules) is not None


if __name__ == "__main__":
    sys.exit(main())
