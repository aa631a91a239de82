"""`millrace completion`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script

from millrace.cli.app import COMPLETE, app, examples


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
    typer.echo(script(shell))


def script(shell: Shell) -> str:
    """The completion script; it runs what was typed, so a `./millrace` needs no place on the path."""
    text = get_completion_script(prog_name="millrace", complete_var=COMPLETE, shell=shell.value)
    typed = {Shell.zsh: "${words[1]}", Shell.fish: "(commandline -opc)[1]"}
    if shell in typed:
        text = re.sub(r' millrace(?=[)"])', lambda found: f" {typed[shell]}", text)
    return text
