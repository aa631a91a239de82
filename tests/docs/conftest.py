"""Pages as tests: each block is one, named by page and line, and the last asks what the page left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil.example import Example

from tests.docs import page as pages
from tests.docs.block import PageError
from tests.docs.runner import NoSite, Runner, selected
from tests.docs.session import site_directory

LEFT = "leaves the site as it found it"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--page", action="append", default=[], metavar="PATH", help="only this page of the docs")


def pytest_configure(config: pytest.Config) -> None:
    # Before anything is collected: an error there comes with pytest's whole way to it.
    if config.getoption("--page"):
        chosen(config)


def chosen(config: pytest.Config) -> list[tuple[pages.Page, list[Example]]]:
    """The pages named on the command line, else all that fit the site at hand; and what of them is run."""
    throwaway = os.environ.get("MILLRACE_DOCS_THROWAWAY") == "1"
    try:
        named = [pages.Page(Path(path)) for path in config.getoption("--page")]
        found = selected(named or pages.all_pages(), site_directory(), throwaway=throwaway, named=bool(named))
        return [(page, [each for each in page.examples if each.parsed.runs]) for page in found]
    except (NoSite, PageError) as error:
        raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "example" not in metafunc.fixturenames:
        return
    names: list[str] = []
    values: list[tuple[pages.Page, Example | None]] = []
    for page, examples in chosen(metafunc.config):
        for example in examples:
            values.append((page, example))
            names.append(f"{page.name}:{example.line}")
        values.append((page, None))
        names.append(f"{page.name}: {LEFT}")
    metafunc.parametrize(("page", "example"), values, ids=names)


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    """Runs pages; the one that runs is closed when another begins."""
    running = Runner(site_directory())
    yield running
    running.close()


# What asks a live site, when there is none.
collect_ignore = [] if site_directory() else ["test_map.py"]
