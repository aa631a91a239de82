"""The clone that a page's commands run in: a copy, so that what a page writes is gone afterwards."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.docs.page import ROOT

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", ".site", "__pycache__", ".*_cache", ".vagrant", "fixtures"
)


def copy(into: Path) -> Path:
    """The copy; it uses the Python environment of the real one."""
    place = into / "millrace"
    shutil.copytree(ROOT, place, symlinks=True, ignore=LEFT_OUT)
    (place / ".venv").symlink_to(ROOT / ".venv")
    return place


def environment(clone: Path, site_directory: Path | None) -> dict[str, str]:
    """Variables of the page's shell: what a reader has, and nothing of an earlier `millrace env`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MILLRACE_", "MLFLOW_", "SPARK_", "PYTEST_", "VIRTUAL_ENV", "PYTHON"))
    }
    plain = {
        "TERM": "dumb",
        "NO_COLOR": "1",
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
        "MILLRACE_HOME": str(clone),
    }
    if store := os.environ.get("MILLRACE_STORE"):
        plain["MILLRACE_STORE"] = store
    if site_directory:
        plain |= {"MILLRACE_STATE": str(site_directory.parent), "MILLRACE_SITE": site_directory.name}
    return kept | plain
