"""Blocks with `title="PATH"`: a file of the repository that the page shows, or one that the reader writes."""

from __future__ import annotations

from pathlib import Path

from tests.docs.block import Block
from tests.docs.compare import difference
from tests.docs.page import ROOT


class FileTrouble(Exception):
    """The page shows a file that is otherwise, or one that is not to be written."""


def write_or_compare(block: Block, directory: Path, clone: Path) -> None:
    """A path that the repository has is compared; another is written, below `directory`. Raises FileTrouble.

    A shown file may be a part of the real one: lines that follow each other, `...` for lines left out.
    """
    ours = ROOT / block.title
    if ours.is_file() and not Path(block.title).is_absolute():
        if difference(f"...\n{block.text}...\n", ours.read_text()):
            diff = difference(block.text, ours.read_text())
            raise FileTrouble(f"{block.title} of the repository is not as shown:\n{diff}")
        return
    target = (directory / block.title).resolve()
    if Path(block.title).is_absolute() or not target.is_relative_to(clone.resolve()):
        raise FileTrouble(
            f"{block.title} is outside the clone, so it is not written: say why it is not run, "
            "or name a path below the clone"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(block.text)
