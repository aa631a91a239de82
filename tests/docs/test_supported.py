"""Nothing is said to be supported that no test shows."""

from __future__ import annotations

import ast

import pytest
import yaml

from tests.docs.page import ROOT

ROWS = yaml.safe_load((ROOT / "tests/docs/supported.yml").read_text())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["what"])
def test_the_test_that_shows_it_exists(row: dict[str, str]) -> None:
    path, _, name = row["test"].partition("::")
    tree = ast.parse((ROOT / path).read_text())
    tests = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    assert any(each.startswith("test_") for each in tests)
    assert not name or name in tests, f"{path} has no test {name}"
