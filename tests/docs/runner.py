"""Which pages run on the site at hand, and running them one after the other."""

from __future__ import annotations

from pathlib import Path

from sybil.example import Example, SybilFailure

from millrace.site import Site
from tests.docs import site_state
from tests.docs.page import Page
from tests.docs.session import Session


class NoSite(Exception):
    """A page was named that the site at hand cannot run; the text says what is needed."""


def kind(directory: Path | None) -> str:
    """What a site is to the pages: `none`, `single-node` or `three-node`."""
    if directory is None:
        return "none"
    return "single-node" if len(Site.read(directory).hosts) == 1 else "three-node"


def selected(pages: list[Page], directory: Path | None, *, throwaway: bool, named: bool) -> list[Page]:
    """Pages with something to run that fit the site. Raises NoSite for a named one that does not."""
    there = {"none", kind(directory)} | ({"throwaway"} if throwaway and directory else set())
    for page in pages:
        if named and page.head.site not in there:
            raise NoSite(
                f"{page.name} needs a site ({page.head.site}) and this is {kind(directory)}: name a site's "
                "state directory in MILLRACE_SITE_DIR, and set MILLRACE_DOCS_THROWAWAY=1 if it may be broken"
            )
    return [page for page in pages if page.head.site in there and page.runs]


class Runner:
    """At most one page runs at a time; a block needs all before it, so they run first."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._page: Page | None = None
        self._session: Session | None = None
        self._before: site_state.State = {}
        self._done = 0
        self._broken = ""

    def run(self, page: Page, example: Example) -> None:
        """Run a block, after those before it that have not run yet. Raises SybilFailure."""
        self._begin(page)
        waiting = [e for e in page.examples[self._done :] if e.parsed.runs and e.line <= example.line]
        for each in waiting:
            if self._broken:
                raise SybilFailure(example, f"not run, because {self._broken} failed")
            self._done = page.examples.index(each) + 1
            try:
                each.evaluate()
            except SybilFailure:
                self._broken = f"{page.name}:{each.line}"
                raise

    def left(self, page: Page) -> list[str]:
        """End the page; what it did not leave as it was. A page of which nothing ran leaves nothing."""
        if page is not self._page:
            return []
        trouble = self._session.close() if self._session else []
        if page.head.site != "none" and self._directory:
            trouble += site_state.changes(self._before, self._directory, page.leaves)
        self._page = self._session = None
        return trouble

    def close(self) -> None:
        """End what still runs, as when only some blocks were asked for."""
        if self._page:
            self.left(self._page)

    def _begin(self, page: Page) -> None:
        if page is self._page:
            return
        self.close()
        if page.head.site != "none" and self._directory:
            self._before = site_state.take(self._directory)
        self._session = Session(page, self._directory if page.head.site != "none" else None)
        self._page, self._done, self._broken = page, 0, ""
