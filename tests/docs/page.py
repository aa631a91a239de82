"""A page of the documentation as something that runs: what it needs, and its blocks in order."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Literal, get_args

import msgspec
import yaml
from sybil import Document
from sybil.example import Example

from tests.docs.block import Block, PageError, parse

ROOT = Path(__file__).parents[2]
# A page begins with YAML between dashes; the README, which others show too, with the same in a comment.
HEAD = re.compile(r"\A(?:---\n(?P<dashes>.*?)^---$|<!--\n(?P<comment>.*?)^-->$)", re.M | re.S)


Kind = Literal["none", "single-node", "three-node", "throwaway"]


class Head(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The front matter of a page; all of it may be missing.

    `site`: which kind of site it needs. `service`: whose log is shown when a command fails. `before`:
    commands that the page's shell begins with, as a stand-in for what its reader has done elsewhere.
    `leaves`: aspect of the site (see site_state) -> why it may differ afterwards. `after`: commands run at
    the end, whatever happened. `python`: whose interpreter its Python blocks get. The others are for the
    pages' making: `roles` and `services` that a component page is about, `hide` for the theme.
    """

    site: Kind = "none"
    service: str = ""
    before: tuple[str, ...] = ()
    leaves: Literal["nothing"] | dict[str, str] = "nothing"
    after: tuple[str, ...] = ()
    python: Literal["tests", "training", "local", "clients"] = "tests"
    roles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()


class Page:
    """One Markdown file. Raises PageError for a front matter that says nothing sensible."""

    def __init__(self, path: Path) -> None:
        self.path = path
        match = HEAD.match(path.read_text())
        try:
            given = yaml.safe_load(match["dashes"] or match["comment"]) if match else {}
            self.head = msgspec.convert(given, Head)
        except (yaml.YAMLError, msgspec.ValidationError) as error:
            known = f"; sites are {', '.join(get_args(Kind))}" if "$.site" in str(error) else ""
            raise PageError(path, 1, f"front matter: {error}{known}") from error

    @property
    def name(self) -> str:
        """Its path as a reader writes it: from the clone, if it is in there."""
        path = self.path.absolute()
        return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)

    @functools.cached_property
    def examples(self) -> list[Example]:
        """Sybil's examples, one for each block; `parsed` is the Block. Raises PageError."""
        return list(Document.parse(str(self.path), parse).examples())

    @property
    def blocks(self) -> list[Block]:
        return [example.parsed for example in self.examples]

    @property
    def leaves(self) -> dict[str, str]:
        """Aspects of the site that may differ afterwards."""
        return {} if self.head.leaves == "nothing" else self.head.leaves

    @property
    def runs(self) -> bool:
        """Whether there is anything to run."""
        return any(block.runs for block in self.blocks)


def all_pages() -> list[Page]:
    """The README and every page under docs/, in the order of their paths."""
    return [Page(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
