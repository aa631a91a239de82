"""`millrace image`: the image of the box's hosts, for Vagrant and for whoever wants it alone."""

from __future__ import annotations

from pathlib import Path

from millrace.cli.app import app, examples


@app.command(epilog=examples("millrace image && vagrant up --provider=docker"))
def image() -> None:
    """Build the image of a Debian 13 host with systemd and sshd, as demo and Vagrant start it."""
    from millrace.box import engine
    from millrace.box import image as host_image
    from millrace.cli import program, steps
    from millrace.cli.screen import Line, Screen
    from millrace.site import state_root

    log = state_root() / ".engine" / "image.log"

    def start(line: Line) -> str:
        return f"version {engine.start(line.note).version()['Version']}"

    def build(line: Line) -> str:
        host_image.build(
            engine.connect(), lambda words, listen: program.run(words, Path(log), listen), line.note
        )
        return host_image.TAG

    def built(line: Line) -> str | None:
        return host_image.TAG if host_image.current(engine.connect()) else None

    with program.ended_with_us():
        steps.run([steps.Step("Docker engine", start), steps.Step("host image", build, built)], Screen())
