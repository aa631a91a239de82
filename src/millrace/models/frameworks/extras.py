"""Libraries that come as extras of the package, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from types import ModuleType

from millrace.models.frameworks.errors import MissingExtra


def need(extra: str, what: str, *modules: str) -> list[ModuleType]:
    """Those modules. `what` begins the sentence of the error, as in `Bundling a Keras model`.

    Raises MissingExtra, which names the pip command, when one, or what it needs, is not installed.
    """
    found = []
    for module in modules:
        try:
            found.append(import_module(module))
        except ModuleNotFoundError as error:
            raise MissingExtra(what, error.name or module, extra) from error
    return found


def named(distribution: str, title: str | None = None) -> str:
    """What a bundle's manifest calls a framework, as in `scikit-learn 1.9.1`."""
    return f"{title or distribution} {version(distribution)}"
