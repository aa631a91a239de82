"""MkDocs hook: pages are Jinja templates whose functions make tables from the sources.

`{{ ports() }}` in a page becomes the table. An unknown function or name stops the build.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import commands
import jinja2
import site_map
import sources
import yaml
from mkdocs.exceptions import PluginError

ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table; cells are put on one line."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines) + "\n"


def cell(value: Any) -> str:
    """Text of a table's cell."""
    return " ".join(str(value).split()).replace("|", "\\|")


def code(value: Any) -> str:
    """A value as inline code, as YAML writes it on one line."""
    if isinstance(value, str) and value:
        text = value
    else:
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def codes(values: str | Iterable[str]) -> str:
    """Several values as inline code."""
    return ", ".join(code(value) for value in ([values] if isinstance(values, str) else values))


def port_range(name: str) -> str:
    """`8501`, or the first and last port where a service has several."""
    service = sources.services()[name]
    first, span = service["port"], service.get("span", 1)
    if isinstance(span, int):
        return str(first) if span == 1 else f"{first}-{first + span - 1}"
    return f"{first} and up"


def port(name: str) -> int:
    """The (first) port of a service."""
    return sources.services()[name]["port"]


def ports(*names: str) -> str:
    """Table of the services of the map of connections; all of them without names."""
    return table(
        ["service", "hosts", "port", "who may connect", "what for"],
        (
            [
                code(name),
                service["group"],
                port_range(name) + (" (TCP and UDP)" if service.get("udp") else ""),
                ", ".join(service["from"]),
                service["about"],
            ]
            for name, service in sources.services().items()
            if not names or name in names
        ),
    )


def names(*only: str) -> str:
    """Table of the names and SRV records that the zone holds for services."""
    domain = site("site_domain")
    return table(
        ["service", "name", "leads to", "SRV record"],
        (
            [
                code(name),
                codes(f"{label}.{domain}" for label in service.get("name", [])),
                "the gateway" if service.get("gateway") or name == "gateway" else "the hosts",
                code(f"{service['srv']}.{domain}") if "srv" in service else "",
            ]
            for name, service in sources.services().items()
            if (not only or name in only) and ("name" in service or "srv" in service)
        ),
    )


def gateway_names() -> str:
    """Table of the names that the gateway serves pages under."""
    return table(
        ["name", "service"],
        (
            [codes(f"{label}.{end}" for label in service["name"] for end in (site("site_domain"), "localhost")),
             service["about"]]
            for service in sources.services().values()
            if service.get("gateway")
        ),
    )  # fmt: skip


def packages() -> str:
    """Table of Debian's packages on the hosts of each group."""
    return table(["hosts", "packages"], ([group, codes(held)] for group, held in sources.packages().items()))


def targets() -> str:
    """Table of what Prometheus scrapes."""
    return table(
        ["service", "port", "path"],
        (
            [code(name), port_range(name), code(service["metrics"])]
            for name, service in sources.services().items()
            if "metrics" in service
        ),
    )


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
    if not options:
        return f"The role `{role}` has no variables of its own.\n"
    return table(
        ["variable", "type", "default", "meaning"],
        (
            [
                code(name),
                option.get("type", "str"),
                code(defaults[name]) if name in defaults else "required" if option.get("required") else "",
                meaning(option),
            ]
            for name, option in options.items()
        ),
    )


def meaning(option: dict[str, Any]) -> str:
    """An option's description and what may be chosen."""
    text = option.get("description", "")
    sentences = [text] if isinstance(text, str) else list(text)
    if "choices" in option:
        sentences.append(f"One of {codes(str(c) for c in option['choices'])}.")
    return " ".join(sentences)


def roles() -> str:
    """A section for every role: what it does, where it runs, its variables."""
    return "\n".join(
        f"## {role}\n\n{summary(role)}\n\nRuns on: {sources.plays().get(role, 'wherever a role includes it')}."
        f"\n\n{variables(role)}"
        for role in sources.roles()
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


def version(component: str) -> str:
    """The pinned version of a component of the bill of materials."""
    return sources.bom()[component]["version"]


def pinned(component: str, part: str) -> str:
    """The version of one part in a component's lock file."""
    return dict(sources.lock(component))[part]


def versions() -> str:
    """Table of the bill of materials."""
    return table(
        ["component", "version", "licence", "source", "pinned parts"],
        (
            [
                f"[{name}](#{name})",
                item["version"],
                item["licence"],
                item["source"],
                len(sources.lock(name)),
            ]
            for name, item in sources.bom().items()
        ),
    )


def locks() -> str:
    """For every component, what its lock file pins."""
    return "\n".join(
        f"## {name}\n\nFrom `playbooks/{item['lock']}`.\n\n" + table(["part", "version"], sources.lock(name))
        for name, item in sources.bom().items()
    )


def decisions() -> str:
    """The list of decision records."""
    paths = sorted((sources.ROOT / "docs/explanation/decisions").glob("[0-9]*.md"))
    titles = ((path, path.read_text().splitlines()[0].split(". ", 1)[1]) for path in paths)
    return "\n".join(f"{int(path.name[:4])}. [{title}]({path.name})" for path, title in titles)


def component_pages() -> list[dict[str, str]]:
    """The component pages in the order of `site.yml`: file name, title, roles, groups of hosts."""
    order, found = list(sources.plays()), []
    for path in (sources.ROOT / "docs/components").glob("*.md"):
        _, head, body = path.read_text().split("---\n", 2)
        held = yaml.safe_load(head).get("roles", [])
        if not held:
            continue
        groups = dict.fromkeys(sources.plays().get(role, "all") for role in held)
        first = min((order.index(role) for role in held if role in order), default=len(order))
        title = body.strip().splitlines()[0].lstrip("# ")
        found.append((first, {"name": path.name, "title": title, "roles": codes(held), "groups": ", ".join(groups)}))
    return [page for _, page in sorted(found, key=lambda pair: pair[0])]


def demo_disk() -> str:
    """Free disk that the demo asks for, in GB."""
    from millrace.box import machine

    return f"{machine.DISK / 1e9:.0f}"


ENVIRONMENT.globals.update(
    {
        function.__name__: function
        for function in (
            port, port_range, ports, names, targets, sizes, variables, roles, site, site_variables,
            version, versions, pinned, locks, decisions, packages, gateway_names, component_pages, demo_disk,
        )
    },
    commands=commands.reference,
    modules=sources.modules,
    site_map=site_map.draw,
)  # fmt: skip


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Render the page's template; the error names the page."""
    try:
        return ENVIRONMENT.from_string(markdown).render(page=page)
    except Exception as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error
