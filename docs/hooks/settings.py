"""Roles, variables and sizes as tables."""

from __future__ import annotations

from typing import Any

import sources
from text import code, codes, table


def sizes(*names: str) -> str:
    """Sizing table: a row for each setting, a column for each size."""
    columns = sources.sizes()
    settings = [
        (service, key)
        for service, row in next(iter(columns.values())).items()
        for key in row
        if not names or service in names
    ]
    return table(
        ["service", "setting", *(code(name) for name in columns)],
        ([code(s), code(k), *(column[s][k] for column in columns.values())] for s, k in settings),
    )


def variables(role: str) -> str:
    """Table of a role's variables; a sentence where it has none."""
    options, defaults = sources.role_spec(role).get("options", {}), sources.role_defaults(role)
    examples = sources.role_examples(role)
    if not options:
        return f"The role `{role}` has no variables of its own.\n"
    return table(
        ["variable", "type", "default", "meaning"],
        (
            [
                code(name),
                option.get("type", "str"),
                code(defaults[name]) if name in defaults else "required" if option.get("required") else "",
                meaning(option, examples.get(name)),
            ]
            for name, option in options.items()
        ),
    )


def meaning(option: dict[str, Any], example: str | None) -> str:
    """An option's description, what may be chosen, and an example."""
    text = option.get("description", "")
    sentences = [text] if isinstance(text, str) else list(text)
    if "choices" in option:
        sentences.append(f"One of {codes(str(choice) for choice in option['choices'])}.")
    if example:
        sentences.append(f"Example: {code(example)}")
    return " ".join(sentences)


def default(role: str, variable: str) -> Any:
    """The default of a role's variable."""
    return sources.role_defaults(role)[variable]


def roles() -> str:
    """A section for every role: what it does, where it runs, its variables."""
    return "\n".join(
        f"## {role}\n\n{summary(role)}\n\nRuns on: {group}.\n\n{variables(role)}"
        for role in sources.roles()
        for group in [sources.plays().get(role, "wherever a role includes it")]
    )


def summary(role: str) -> str:
    """What a role says of itself in its argument specification."""
    spec = sources.role_spec(role)
    text = spec.get("description") or spec.get("short_description") or ""
    sentences = [text] if isinstance(text, str) else text
    return " ".join(sentence.rstrip(".") + "." for sentence in sentences if sentence)


def site_variables() -> str:
    """Table of the variables of the whole site."""
    return table(
        ["variable", "default", "meaning"],
        ([code(name), code(value), text] for name, value, text in sources.site_variables()),
    )


def site(name: str) -> Any:
    """The default of a variable of the whole site."""
    return {variable: value for variable, value, _ in sources.site_variables()}[name]


def site_path(name: str) -> str:
    """A path of the whole site with `site_tls_dir` put in."""
    return str(site(name)).replace("{{ site_tls_dir }}", site("site_tls_dir"))
