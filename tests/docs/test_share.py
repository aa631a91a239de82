"""What is not run stays little, and is listed."""

from __future__ import annotations

from tests.docs.page import all_pages

SHARE = 0.05


def test_nearly_every_block_runs() -> None:
    counted = [block for page in all_pages() for block in page.blocks if block.counts]
    left_out = [block for block in counted if not block.runs]
    assert len(counted) > 50
    assert len(left_out) <= SHARE * len(counted), f"{len(left_out)} of {len(counted)} are not run"
