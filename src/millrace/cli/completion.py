"""`millrace completion`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script

from millrace.cli.app import app, examples


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command(
    epilog=examples(
        'eval "$(./millrace completion bash)"',
        "millrace completion fish > ~/.config/fish/completions/millrace.fish",
    )
)
def completion(shell: Annotated[Shell, typer.Argument(help="For which shell.")]) -> None:
    """Print a script that completes verbs, sites and services of `millrace` and `./millrace`."""
    typer.echo(
        get_completion_script(prog_name="millrace", complete_var="_MILLRACE_COMPLETE", shell=shell.value)
    )
