"""`millrace test`: all tests, on a site of their own."""

from __future__ import annotations

from typing import Annotated

import typer

from millrace.cli.app import DEMO, app, examples


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
            help="lint, unit, described, frameworks, converge, services, journey, pages, reboot, again, "
            "mutation, down; or files of tests/.",
            autocompletion=complete_suite,
        ),
    ] = None,
    # Not MILLRACE_SITE, which names the site that somebody works with: this one is removed.
    site: Annotated[
        str, typer.Option("--site", metavar="NAME", help="Name of the site that is made.")
    ] = "test",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the site, for a look or for further tests.")
    ] = False,
) -> None:
    """Run all tests on a site made for them, beside a running demo; or some, on the site that --keep left."""
    from millrace.cli import lock, program
    from millrace.cli.testing import Testing
    from millrace.problem import Problem
    from millrace.site import check_name

    if site == DEMO:
        raise Problem("Tests remove the site they were made on: give them another than the demo's.")
    testing = Testing(check_name(site), keep, what or [])
    # A lock of their own: the last suite removes the site as anybody would, which takes the site's.
    with lock.held(f"{site}-tests"), program.ended_with_us():
        try:
            result = testing.run()
        except KeyboardInterrupt:
            typer.echo(f"Interrupted. `./millrace down --site {site}` removes what is there of its site.")
            raise typer.Exit(130) from None
    typer.echo(f"{result.passed} passed, {result.failed} failed")
    raise typer.Exit(1 if result.failed else 0)
