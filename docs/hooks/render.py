"""MkDocs hook: pages are Jinja templates whose functions make tables from the sources.

`{{ ports() }}` in a page becomes the table. An unknown function or name stops the build.
"""

from __future__ import annotations

from inspect import getmembers, isfunction
from typing import Any

import commands
import costs
import jinja2
import network
import overview
import own_metrics
import protocols
import runs
import settings
import site_map
import software
import supported as support
from mkdocs.exceptions import PluginError

ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
ENVIRONMENT.globals.update(
    {
        name: function
        for module in (costs, network, overview, own_metrics, protocols, runs, settings, software)
        for name, function in getmembers(module, isfunction)
    },
    commands=commands.reference,
    supported=support.supported,
    site_map=site_map.draw,
)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Render the page's template; the error names the page."""
    try:
        return ENVIRONMENT.from_string(markdown).render(page=page)
    except Exception as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error
