"""What a role's defaults make of each row of the sizing table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

ROOT = Path(__file__).parents[3]
PLAYBOOKS = ROOT / "playbooks"
SIZES = yaml.safe_load((PLAYBOOKS / "group_vars/all/sizing.yml").read_text())["site_sizes"]


def default(role: str, name: str, size: dict[str, Any]) -> Any:
    given = yaml.safe_load((PLAYBOOKS / f"roles/{role}/defaults/main.yml").read_text())[name]
    return NativeEnvironment().from_string(str(given)).render(site_size=size)


@pytest.mark.parametrize("name", SIZES)
def test_every_prediction_server_has_room_for_eight_python_models(name: str) -> None:
    size = SIZES[name]
    assert default("prediction", "prediction_python_processes", size) >= 8 * size["prediction"]["processes"]


def test_the_bench_fills_servers_as_the_smallest_gateway_does() -> None:
    rule = re.search(
        r"be_sess_rate gt (\d+) .* lt (\d+) ", (ROOT / "tests/bench/serving/haproxy.cfg").read_text()
    )
    assert rule
    named = ("gateway_predict_fill_rate", "gateway_predict_fill")
    assert [int(value) for value in rule.groups()] == [
        int(default("gateway", name, SIZES["laptop"])) for name in named
    ]
