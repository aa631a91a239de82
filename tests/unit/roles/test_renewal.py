"""A renewed certificate reaches those that must be told, and ends nothing that need not end."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "playbooks/roles"
TOLD = yaml.safe_load((ROLES / "ca/defaults/main.yml").read_text())["ca_units"]


def told(unit: str) -> bool:
    return any(fnmatch(unit, pattern) for pattern in TOLD)


@pytest.mark.parametrize(
    "unit",
    [
        "millrace-prediction@1.service",
        "millrace-python@4-17-991.service",
        "millrace-control.service",
        "millrace-spark-connect.service",
        "millrace-spark-worker.service",
    ],
)
def test_models_and_sessions_live_on(unit: str) -> None:
    assert not told(unit)


@pytest.mark.parametrize(
    "unit",
    [
        "millrace-spark-tls.service",
        "millrace-kafka-tls.service",
        "millrace-kafka.service",
        "millrace-mlflow.service",
        "haproxy.service",
        "postgresql@17-main.service",
        "prometheus-node-exporter.service",
    ],
)
def test_who_reads_it_once_is_told(unit: str) -> None:
    assert told(unit)
