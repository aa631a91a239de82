"""`millrace docs`: read the pages, run them against a site, put real outputs into them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from millrace.cli.app import DEMO, SiteName, app, examples

docs = typer.Typer(
    no_args_is_help=True,
    epilog=examples(
        "millrace docs serve",
        "millrace docs test docs/components/dns.md README.md",
        "millrace docs update docs/components/dns.md",
    ),
    help="Read the pages, run every command in them against a site, renew the outputs they show.",
)
app.add_typer(docs, name="docs")

Pages = Annotated[list[Path], typer.Argument(metavar="PAGE...", exists=True, dir_okay=False)]
Throwaway = Annotated[
    bool, typer.Option("--throwaway", help="Also pages that upgrade, restore or reset the site.")
]


@docs.command(epilog=examples("millrace docs serve", "millrace docs serve --port 8001"))
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on the loopback.")] = 8000,
) -> None:
    """Show the pages, with search, on this machine; they change as their sources do."""
    _become("mkdocs", "serve", "--dev-addr", f"127.0.0.1:{port}")


@docs.command(
    "test", epilog=examples("millrace docs test", "millrace docs test docs/how-to/names.md --site trial")
)
def run_pages(
    pages: Annotated[
        list[Path] | None, typer.Argument(metavar="PAGE...", exists=True, dir_okay=False, help="Else all.")
    ] = None,
    site: SiteName = DEMO,
    throwaway: Throwaway = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit report too.")
    ] = None,
) -> None:
    """Run the commands of pages in order against a site, and compare what they print."""
    words = [f"--page={page.absolute()}" for page in pages or ()]
    words += [f"--junitxml={junit.absolute()}"] if junit else []
    _point_at(site, throwaway)
    _become("pytest", "tests/docs/test_pages.py", "-p", "no:cacheprovider", "--verbose", *words)


@docs.command(epilog=examples("millrace docs update docs/components/dns.md"))
def update(
    pages: Pages,
    site: SiteName = DEMO,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
) -> None:
    """Run pages and write the outputs that came into them; shows the difference first."""
    _point_at(site, throwaway=False)
    words = [str(page.absolute()) for page in pages]
    _become("tests.docs.update", *words, *(["--yes"] if yes else []))


def _point_at(name: str, throwaway: bool) -> None:
    """Tell the engine which site to run against; without one it runs the pages that need none."""
    from millrace.site import check_name, state_root

    directory = state_root() / check_name(name)
    if "MILLRACE_SITE_DIR" not in os.environ and (directory / "site.json").exists():
        os.environ["MILLRACE_SITE_DIR"] = str(directory)
    os.environ["MILLRACE_DOCS_THROWAWAY"] = "1" if throwaway else "0"


def _become(module: str, *words: str) -> None:
    """Go on as a Python module, in the clone. Raises Problem when what it needs is not installed."""
    from millrace import project
    from millrace.problem import Problem

    try:
        import mkdocs  # noqa: F401
        import sybil  # noqa: F401
    except ImportError:
        raise Problem(
            "The tools for the pages are not in this environment: run ./millrace docs in a clone."
        ) from None
    os.chdir(project.root())
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *words])
