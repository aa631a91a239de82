"""`millrace test`: all tests, on a site of their own."""

from __future__ import annotations

from typing import Annotated

import typer

from millrace.cli.app import SiteName, app, examples


def complete_suite(incomplete: str) -> list[str]:
    from millrace.cli.suites import SUITES

    return [suite.name for suite in SUITES if suite.name.startswith(incomplete)]


@app.command(
    "test",
    epilog=examples(
        "millrace test",
        "millrace test lint unit",
        "millrace test --keep && millrace test tests/site/test_dns.py",
    ),
)
def run_tests(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SUITE|PATH]...",
            help="lint, unit, converge, services, journey, pages, reboot, again, mutation, down; or files.",
            autocompletion=complete_suite,
        ),
    ] = None,
    site: SiteName = "test",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the site, for a look or for further tests.")
    ] = False,
) -> None:
    """Run all tests on a site made for them, beside a running demo; or some, on the site that --keep left."""
    from millrace.cli import lock, program
    from millrace.cli.testing import Testing
    from millrace.site import check_name

    testing = Testing(check_name(site), keep, what or [])
    with lock.held(site), program.ended_with_us():
        try:
            result = testing.run()
        except KeyboardInterrupt:
            typer.echo(f"Interrupted. `./millrace down --site {site}` removes what is there of its site.")
            raise typer.Exit(130) from None
    typer.echo(f"{result.passed} passed, {result.failed} failed")
    raise typer.Exit(1 if result.failed else 0)
