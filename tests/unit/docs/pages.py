"""Reading pages: their sources' front matter, their built text, headings and what they load."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import typer.main
import yaml

from millrace.cli import app

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


def port_row(name: str, service: dict[str, Any]) -> str:
    """How the table of ports shows a service."""
    hosts = service["group"] + (", the first" if service.get("first") else "")
    return f"{name} {hosts} {service['port']}"


def verbs() -> dict[str, Any]:
    """The verbs of the command line by name."""
    return vars(typer.main.get_command(app))["commands"]


def front_matter(path: Path) -> dict[str, Any]:
    """What stands between the first two lines of dashes."""
    return yaml.safe_load(path.read_text().split("---\n")[1])


def component_pages() -> list[Path]:
    """Sources of the component pages, the overview aside."""
    return sorted(path for path in (DOCS / "components").glob("*.md") if path.name != "index.md")


def headings(path: Path) -> list[str]:
    """Second-level headings of a source, those in code blocks aside."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    return re.findall(r"^## (.+)$", text, re.M)


def article(site: Path, page: str) -> str:
    """The text of a built page as a reader sees it, without navigation."""
    markup = (site / page / "index.html").read_text()
    body = markup.split("<article", 1)[1].split("</article>", 1)[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


class Loads(HTMLParser):
    """Collects the addresses that a browser fetches by itself while it shows a page."""

    LINKS = (
        "stylesheet",
        "icon",
        "preload",
        "preconnect",
        "prefetch",
        "modulepreload",
        "dns-prefetch",
        "manifest",
    )

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.classes.update(given.get("class", "").split())
        if tag != "a" and "src" in given:
            self.addresses.append(given["src"])
        if tag == "object":
            self.addresses.append(given.get("data", ""))
        if tag == "link" and set(given.get("rel", "").split()) & set(self.LINKS):
            self.addresses.append(given.get("href", ""))
        if tag == "use":
            self.addresses.append(given.get("href", ""))
        self.addresses += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.addresses += re.findall(r"url\(['\"]?([^)'\"]+)", given.get("style", ""))
