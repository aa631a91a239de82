"""The fenced blocks of a page: which of them run, and what is expected of them.

Comments directly above a block say what is particular about it; readers do not see them:

    <!-- not run: needs a second machine -->     why it is not run
    <!-- limit: 120 s -->                        how long each command may take (30 s otherwise)
    <!-- exit: 22 -->                            how the last command ends (0 otherwise)
    <!-- normalise: times, digests -->           rules (see rules.py) applied before comparing
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from sybil import Document, Region
from sybil.example import Example
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from tests.docs.rules import RULES

LIMIT = 30.0
FILES = ("yaml", "ini", "toml", "python")
# Words for a shell or Python that would look like a block that runs, and not be one.
MISTAKEN = {"bash": "console", "sh": "console", "shell": "console", "py": "python", "pycon": "python"}
INFO = re.compile(r"[ \t]*(?P<info>[^\n]*)\n")
COMMENTS = re.compile(r"(?:<!--(?:(?!-->).)*-->\s*)+\Z", re.S)
DIRECTIVE = re.compile(r"<!--\s*(?P<name>not run|limit|exit|normalise):\s*(?P<value>.*?)\s*-->", re.S)
LOOKS_LIKE = re.compile(r"<!--\s*(?P<name>[a-z ]+):")
TITLE = re.compile(r'title="([^"]+)"')


class PageError(Exception):
    """A page is written in a way that cannot be run: file, line, and what to write instead."""

    def __init__(self, path: str | Path, line: int, what: str) -> None:
        super().__init__(f"{path}:{line}: {what}")


Wrong = Callable[[str], PageError]


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block. `line` is the page's line of its fence; `first` that of its first line of text."""

    kind: str
    text: str
    line: int
    title: str = ""
    not_run: str = ""
    limit: float = LIMIT
    exit: int = 0
    rules: tuple[str, ...] = ()
    # Of a plain Python block: the text block that follows it, and the page's lines of that.
    output: str | None = None
    output_lines: range = range(0)

    @property
    def first(self) -> int:
        return self.line + 1

    @property
    def counts(self) -> bool:
        """Whether it is a block that ought to run."""
        return self.kind in ("console", "python") or self.is_file

    @property
    def is_file(self) -> bool:
        """Whether it is a file that is written or compared."""
        return bool(self.kind in FILES and self.title)

    @property
    def runs(self) -> bool:
        return self.counts and not self.not_run


def parse(document: Document) -> Iterable[Region]:
    """Sybil's parser: every fenced block of a page. Raises PageError."""
    found = sorted(
        RawFencedCodeBlockLexer(INFO, {"info": "info", "source": "source"})(document), key=lambda r: r.start
    )
    for number, region in enumerate(found):
        line = document.text.count("\n", 0, region.start) + 1
        block = _block(document, region, line)
        if block.kind == "python" and not block.title and number + 1 < len(found):
            after = found[number + 1]
            if not document.text[region.end : after.start].strip() and after.lexemes["info"] == "text":
                shown = str(after.lexemes["source"].text)
                start = document.text.count("\n", 0, after.start) + 2
                lines = range(start, start + shown.count("\n"))
                block = dataclasses.replace(block, output=shown, output_lines=lines)
        yield Region(region.start, region.end, block, _evaluate)


def _evaluate(example: Example) -> str | None:
    """Sybil's evaluator: the page's session runs the block and says what is wrong."""
    answer: str | None = example.namespace["session"].run(example.parsed)
    return answer


def _block(document: Document, region: Region, line: int) -> Block:
    info, text = region.lexemes["info"].strip(), region.lexemes["source"].text
    kind = info.split()[0] if info else ""
    title = TITLE.search(info)

    def wrong(what: str) -> PageError:
        return PageError(document.path, line, what)

    if kind in MISTAKEN:
        raise wrong(f"a block of kind {kind} is never run: write {MISTAKEN[kind]}")
    said = _directives(document.text[: region.start], wrong)
    block = Block(
        kind,
        text,
        line,
        title=title[1] if title else "",
        not_run=said.get("not run", ""),
        limit=_seconds(said["limit"], wrong) if "limit" in said else LIMIT,
        exit=int(said.get("exit", 0)),
        rules=tuple(name.strip() for name in said["normalise"].split(",")) if "normalise" in said else (),
    )
    for rule in block.rules:
        if rule not in RULES:
            raise wrong(f"there is no rule {rule} to normalise by; the rules: {', '.join(RULES)}")
    if said and not block.counts:
        raise wrong(f"a block of kind {kind or 'none'} does not run, so nothing is to be said of it")
    if "not run" in said and len(block.not_run.split()) < 2:
        raise wrong("not run: say why, in words")
    if block.runs and re.search(r"\{\{|\{%", text):
        raise wrong("a block that runs holds nothing that is filled in while the pages are built")
    return block


def _directives(before: str, wrong: Wrong) -> dict[str, str]:
    """What the comments at the end of the text before a block say."""
    comments = COMMENTS.search(before)
    if not comments:
        return {}
    for comment in re.findall(r"<!--.*?-->", comments[0], re.S):
        if not DIRECTIVE.match(comment) and (other := LOOKS_LIKE.match(comment)) and comments.start():
            raise wrong(
                f"a comment above a block says {other['name']}: known are not run, limit, exit, normalise"
            )
    return {m["name"]: " ".join(m["value"].split()) for m in DIRECTIVE.finditer(comments[0])}


def _seconds(text: str, wrong: Wrong) -> float:
    match = re.fullmatch(r"(\d+) s", text)
    if not match:
        raise wrong(f"limit: {text} is no number of seconds, as in `limit: 120 s`")
    return float(match[1])
