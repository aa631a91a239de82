"""A test that passes while its service is stopped is none: each service is broken, and its file must fail.

Mended again, it must serve those who depend on it as before, without anybody's help.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import testinfra

from tests.site.live import SITE

ROOT = Path(__file__).parents[2]
UNHARMED = "base::test_no_unit_has_failed"


@dataclass(frozen=True)
class Mutation:
    """`group`: on whose first host; `breaks` and `mends`: commands; `then`: tests of who depends on it."""

    group: str
    breaks: str
    mends: str
    then: tuple[str, ...] = (UNHARMED,)


def stopped(group: str, unit: str, *then: str) -> Mutation:
    return Mutation(group, f"systemctl stop {unit}", f"systemctl start {unit}", then or (UNHARMED,))


BEHIND_GATEWAY = "gateway::test_every_service_behind_it_is_up"
SERVERS_FOUND = "gateway::test_finds_every_prediction_server"
DEPLOYMENTS_TOLD = "control::test_only_who_is_logged_in_sees_what_is_deployed"
TARGETS_UP = "prometheus::test_every_declared_service_is_a_target_and_up"
# By test file of tests/site.
MUTATIONS = {
    "artifact": Mutation(
        "all", "mv /opt/millrace/uv /opt/millrace/uv.away", "mv /opt/millrace/uv.away /opt/millrace/uv"
    ),
    "base": stopped("all", "millrace-nftables.service"),
    "ca": Mutation("all", "chmod 0644 /etc/millrace/tls/host.key", "chmod 0640 /etc/millrace/tls/host.key"),
    "control": stopped("edge", "millrace-control.service", BEHIND_GATEWAY),
    "dns": stopped("edge", "named.service", SERVERS_FOUND, DEPLOYMENTS_TOLD),
    "docs": stopped("edge", "millrace-docs.service", BEHIND_GATEWAY),
    "gateway": stopped("edge", "haproxy.service", SERVERS_FOUND, BEHIND_GATEWAY),
    "gateway_headers": Mutation(
        "edge",
        "sed -i.whole '/del-header Authorization/d' /etc/haproxy/haproxy.cfg",
        "mv /etc/haproxy/haproxy.cfg.whole /etc/haproxy/haproxy.cfg",
    ),
    "kafka": stopped("store", "millrace-kafka.service", DEPLOYMENTS_TOLD, SERVERS_FOUND),
    "mlflow": stopped("store", "millrace-mlflow.service", BEHIND_GATEWAY),
    "node_exporter": stopped("all", "prometheus-node-exporter.service", TARGETS_UP),
    "pmml": stopped("serve", "millrace-pmml.socket"),
    "postgresql": stopped(
        "store", "postgresql@17-main.service", "mlflow::test_the_gateway_leads_to_it_after_a_login"
    ),
    "prediction": stopped("serve", "millrace-prediction@1.service", SERVERS_FOUND),
    "prometheus": stopped("observe", "prometheus.service", TARGETS_UP),
    # What puts the file right again must be away too.
    "resolver": Mutation(
        "all",
        "systemctl stop millrace-resolver.path && : > /etc/resolv.conf",
        "systemctl start millrace-resolver.path millrace-resolver.service",
    ),
    "spark": stopped(
        "train",
        "millrace-spark-master.service",
        "spark::test_every_worker_is_with_the_master_with_all_it_has",
        "spark::test_a_session_through_the_gateway_computes",
    ),
}


def run(*names: str) -> subprocess.CompletedProcess[str]:
    """pytest up to the first failure; a name is FILE or FILE::TEST, without `test_` before the file."""
    files = [name.split("::") for name in names]
    words = ["::".join([f"tests/site/test_{file}.py", *test]) for file, *test in files]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_file_is_mutated() -> None:
    files = {path.stem.removeprefix("test_") for path in (ROOT / "tests/site").glob("test_*.py")}
    assert files == set(MUTATIONS)


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_broken_service_is_noticed_and_mended_it_serves_as_before(name: str) -> None:
    mutation = MUTATIONS[name]
    host = testinfra.get_host(SITE.hosts(mutation.group)[0])
    broken = host.run(mutation.breaks)
    try:
        assert broken.rc == 0, broken.stderr
        noticed = run(name)
    finally:
        mended = host.run(mutation.mends)
    assert mended.rc == 0, mended.stderr
    # 1: tests ran and some failed. An error while collecting, or no test at all, is another number.
    said = noticed.stdout[-2000:]
    assert noticed.returncode == 1, f"tests/site/test_{name}.py passed although it was broken:\n{said}"
    after = run(*mutation.then)
    assert after.returncode == 0, f"{name} is there again, but not for all:\n{after.stdout[-3000:]}"
