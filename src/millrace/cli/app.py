"""The command itself: what all verbs share."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.completion import completion_init
from typer.core import TyperGroup

from millrace.problem import Problem

DEMO = "demo"
COMPLETE = "_MILLRACE_COMPLETE"


class Verbs(TyperGroup):
    """Verbs in the order of their registration; a Problem ends with its sentence and exit code 1."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if COMPLETE in os.environ:
                # Typer's own shell classes are made known only when it also adds its options for them.
                completion_init()
            return super().main(*args, **kwargs)
        except Problem as problem:
            fail(str(problem))
        except ModuleNotFoundError as error:
            fail(_lacks(error))
        except BrokenPipeError:
            sys.exit(141)


def fail(sentence: str) -> None:
    """Say what is wrong, as every verb does, and end."""
    print(f"millrace: {sentence}", file=sys.stderr)
    sys.exit(1)


def _lacks(error: ModuleNotFoundError) -> str:
    """What to do about a module that is not installed; one of our own is a fault of ours."""
    if (error.name or "millrace").split(".")[0] == "millrace":
        raise error
    return (
        f"{error.name} is not installed, which verbs for a site need: run ./millrace from a clone, or "
        "pip install 'millrace[cli]'. `millrace serve` and `millrace bundle` need no site."
    )


def stands_in(verb: str, error: ModuleNotFoundError) -> None:
    """Answer a verb whose module lacks something; it is left out of the help."""
    sentence = _lacks(error)

    def lacking() -> None:
        raise Problem(sentence)

    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app.command(verb, hidden=True, context_settings=anything)(lacking)


app = typer.Typer(
    name="millrace",
    cls=Verbs,
    help="A place on your own machines where a model becomes a real-time service.\n\n"
    "Begin with [bold]millrace demo[/bold]: a whole site on this machine, two models trained and asked.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"millrace {installed_version('millrace')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


def examples(*lines: str) -> str:
    """The end of a verb's help: command lines that work as they stand."""
    return "[bold]Examples[/bold]\n\n" + "\n\n".join(f"  {line}" for line in lines)


def complete_site(incomplete: str) -> list[str]:
    from millrace.site import state_root

    names = sorted(p.parent.name for p in state_root().glob("*/site.json"))
    return [name for name in names if name.startswith(incomplete)]


SiteName = Annotated[
    str,
    typer.Option(
        "--site",
        metavar="NAME",
        envvar="MILLRACE_SITE",
        help="A site made by demo.",
        autocompletion=complete_site,
    ),
]
Inventory = Annotated[
    Path | None,
    typer.Option("--inventory", metavar="PATH", help="The inventory of a site of your own, instead."),
]
