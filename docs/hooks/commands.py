"""Reference of the command `millrace`, asked of the command itself."""

from __future__ import annotations

import inspect
from typing import Any

import typer.main


def reference() -> str:
    """A section for each verb: usage, what it says of itself, arguments and options."""
    from millrace.cli import app

    root = typer.main.get_command(app)
    return "\n".join(_section(verb, "millrace", 2) for verb in _verbs(root))


def _verbs(command: Any) -> list[Any]:
    return [verb for verb in getattr(command, "commands", {}).values() if not verb.hidden]


def _section(command: Any, parent: str, level: int) -> str:
    name = f"{parent} {command.name}"
    signature = " ".join(
        [name, *(_argument(p) for p in command.params if p.param_type_name == "argument")]
        + (["[OPTIONS]"] if _options(command) else [])
    )
    parts = [f"{'#' * level} {name}", f"```text\n{signature}\n```", _help(command.help or "")]
    rows = [
        f"| {_usage(o)} | {_default(o)} | {(o.help or '').replace('|', chr(92) + '|')} |"
        for o in _options(command)
    ]
    if rows:
        parts.append("\n".join(["| option | default | meaning |", "|---|---|---|", *rows]))
    arguments = [p for p in command.params if p.param_type_name == "argument" and getattr(p, "help", None)]
    if arguments:
        parts.append("\n".join(f"- `{_argument(p)}`: {p.help}" for p in arguments))
    if command.epilog:
        parts.append(_examples(command.epilog))
    return "\n\n".join([*parts, *(_section(verb, name, level + 1) for verb in _verbs(command))]) + "\n"


def _options(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _usage(option: Any) -> str:
    value = "" if option.is_flag else f" {option.metavar or option.name.upper()}"
    return ", ".join(f"`{flag}{value}`" for flag in [*option.opts, *option.secondary_opts])


def _default(option: Any) -> str:
    if option.required:
        return "required"
    return (
        "" if option.default in (None, False, (), []) or callable(option.default) else f"`{option.default}`"
    )


def _examples(epilog: str) -> str:
    """The lines below an epilog's title, as a console block."""
    lines = [line.strip() for line in epilog.splitlines()[1:] if line.strip()]
    return "```console\n" + "\n".join(f"$ {line}" for line in lines) + "\n```"


def _help(text: str) -> str:
    """Click's `\\b` blocks, which keep their lines, become code."""
    blocks = []
    for block in inspect.cleandoc(text).split("\n\n"):
        lines = block.lstrip("\b\n").splitlines()
        if block.startswith("\b"):
            blocks.append("```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```")
        else:
            blocks.append(" ".join(line.strip() for line in lines))
    return "\n\n".join(blocks)
