"""Hosts that have Java anyway serve PMML documents; others do when they are told to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

DEFAULTS = Path(__file__).parents[3] / "playbooks/roles/prediction/defaults/main.yml"


@pytest.mark.parametrize(
    ("serve", "expected"), [(["node1"], True), (["node2", "node3"], True), (["node1", "node4"], False)]
)
def test_default(serve: list[str], expected: bool) -> None:
    environment = NativeEnvironment()
    environment.filters["difference"] = lambda these, those: [each for each in these if each not in those]
    groups = {"serve": serve, "store": ["node1"], "train": ["node2", "node1"], "stream": ["node3"]}
    text = yaml.safe_load(DEFAULTS.read_text())["prediction_pmml"]
    assert environment.from_string(text).render(groups=groups) is expected
