"""Modules and plugins of the playbooks, loaded from their files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"


def load(path: str) -> ModuleType:
    """A module or plugin by its path below `playbooks/`."""
    spec = importlib.util.spec_from_file_location(
        path.replace("/", "_").removesuffix(".py"), PLAYBOOKS / path
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
