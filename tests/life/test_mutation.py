"""A test that passes while its service is stopped is none: each service is broken, and its file must fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import testinfra

from tests.site.live import SITE

ROOT = Path(__file__).parents[2]
# Test file -> where it is broken, how, and how it is mended.
MUTATIONS = {
    "artifact": (
        "all",
        "mv /opt/millrace/uv /opt/millrace/uv.away",
        "mv /opt/millrace/uv.away /opt/millrace/uv",
    ),
    "base": ("all", "systemctl stop nftables", "systemctl start nftables"),
    "ca": ("all", "chmod 0644 /etc/millrace/tls/host.key", "chmod 0640 /etc/millrace/tls/host.key"),
    "control": ("edge", "systemctl stop millrace-control", "systemctl start millrace-control"),
    "dns": ("edge", "systemctl stop named", "systemctl start named"),
    "gateway": ("edge", "systemctl stop haproxy", "systemctl start haproxy"),
    "kafka": ("store", "systemctl stop millrace-kafka", "systemctl start millrace-kafka"),
    "mlflow": ("store", "systemctl stop millrace-mlflow", "systemctl start millrace-mlflow"),
    "node_exporter": (
        "all",
        "systemctl stop prometheus-node-exporter",
        "systemctl start prometheus-node-exporter",
    ),
    "postgresql": ("store", "systemctl stop postgresql@17-main", "systemctl start postgresql@17-main"),
    "prediction": ("serve", "systemctl stop millrace-prediction@1", "systemctl start millrace-prediction@1"),
    "prometheus": ("observe", "systemctl stop prometheus", "systemctl start prometheus"),
    "resolver": (
        "all",
        "cp /etc/resolv.conf /root/resolv.was; : > /etc/resolv.conf",
        "cat /root/resolv.was > /etc/resolv.conf",
    ),
    "spark": ("train", "systemctl stop millrace-spark-master", "systemctl start millrace-spark-master"),
}


def test_every_file_is_mutated() -> None:
    files = {path.stem.removeprefix("test_") for path in (ROOT / "tests/site").glob("test_*.py")}
    assert files == set(MUTATIONS)


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_broken_service_is_noticed(name: str) -> None:
    group, break_it, mend_it = MUTATIONS[name]
    host = testinfra.get_host(SITE.hosts(group)[0])
    broken = host.run(break_it)
    assert broken.rc == 0, broken.stderr
    try:
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "-p",
                "no:cacheprovider",
                f"tests/site/test_{name}.py",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        mended = host.run(mend_it)
    assert mended.rc == 0, mended.stderr
    # 1: tests ran and some failed. An error while collecting, or no test at all, is another number.
    assert run.returncode == 1, (
        f"tests/site/test_{name}.py passed although it was broken:\n{run.stdout[-2000:]}"
    )
