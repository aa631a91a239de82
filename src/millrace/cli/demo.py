"""`millrace demo`: a whole site on this machine, from nothing to answered predictions."""

from __future__ import annotations

from typing import Annotated

import typer

from millrace.cli.app import DEMO, SiteName, app, examples


@app.command(
    epilog=examples(
        "millrace demo", "millrace demo --site trial --port 9443", "millrace down", "millrace demo --local"
    )
)
def demo(
    site: SiteName = DEMO,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Of the gateway on this machine. [8443]"),
    ] = None,
    subnet: Annotated[
        str | None, typer.Option(metavar="A.B.C.0/24", help="Of the hosts; else a free one.")
    ] = None,
    forwarder: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="DNS server for the rest of the world.")
    ] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Without a site and containers: train, serve and ask on this machine alone."
        ),
    ] = False,
) -> None:
    """Make a site on this machine, train and deploy two models, ask them; go on where it was interrupted."""
    from millrace.cli import lock, program, steps
    from millrace.cli.local import Journey
    from millrace.cli.making import Making
    from millrace.cli.screen import Screen
    from millrace.site import check_name

    making: Making | Journey = Making(check_name(site), port, subnet, tuple(forwarder or ()))
    if local:
        making, site = Journey(port), Journey.LOCK
    screen = Screen()
    with lock.held(site), program.ended_with_us():
        try:
            steps.run(making.steps(), screen)
        except steps.Failed as problem:
            raise type(problem)(
                f"{problem}\nWhen that is mended, `{making.command}` goes on from there."
            ) from problem
        except KeyboardInterrupt:
            screen.write(f"Interrupted. `{making.command}` goes on from there.")
            raise typer.Exit(130) from None
    making.report(screen)
