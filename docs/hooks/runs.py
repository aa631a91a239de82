"""What of the pages is run, and what is not."""

from __future__ import annotations

import os
import sys

import sources
from text import cell, code, table

sys.path.insert(0, str(sources.ROOT))

from tests.docs.page import Page, all_pages


def blocks_run() -> str:
    """How many blocks run, in a sentence's words: `120 of 126`."""
    counted = [block for page in all_pages() for block in page.blocks if block.counts]
    return f"{sum(block.runs for block in counted)} of {len(counted)}"


def not_run() -> str:
    """Table of the blocks that are not run, with the reasons that the pages give."""
    return table(
        ["page", "line", "block", "why not"],
        (
            [_link(page), block.line, code(_begin(block.text)), cell(block.not_run)]
            for page in all_pages()
            for block in page.blocks
            if block.counts and not block.runs
        ),
    )


def page_sites() -> str:
    """Table of the pages that run: which site each needs, what it leaves behind."""
    return table(
        ["page", "site", "blocks", "may leave"],
        (
            [
                _link(page),
                page.head.site,
                sum(block.runs for block in page.blocks),
                "; ".join(f"{aspect}: {why}" for aspect, why in page.leaves.items()) or "nothing",
            ]
            for page in all_pages()
            if page.runs
        ),
    )


def _link(page: Page) -> str:
    docs = sources.ROOT / "docs"
    if not page.path.is_relative_to(docs):
        return page.name
    return f"[{page.name}]({os.path.relpath(page.path, docs / 'reference')})"


def _begin(text: str) -> str:
    return text.strip().splitlines()[0]
