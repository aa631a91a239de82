"""Metrics of a host: there for Prometheus, and for nobody without a certificate of the site."""

from __future__ import annotations

from typing import Any

from tests.site import checks
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("all")
UNIT = "prometheus-node-exporter.service"
PORT = SITE.services["node_exporter"]["port"]
TLS = SITE.variables["site_tls_dir"]


def metrics(host: Any) -> str:
    """The page, asked with the host's own certificate; fails with curl's words."""
    certificate = f"--cacert {TLS}/ca.crt --cert {TLS}/host.crt --key {TLS}/host.key"
    return host.check_output(
        f"curl -sS --fail {certificate} https://{SITE.name(host)}.{SITE.domain}:{PORT}/metrics"
    )


def test_unit(host: Any) -> None:
    checks.check_unit(host, UNIT)
    checks.check_runs_as(host, UNIT, "prometheus")
    checks.check_memory(host, UNIT)


def test_listens(host: Any) -> None:
    checks.check_listens(host, UNIT, {(SITE.address(host), PORT)})


def test_tells_the_host_s_memory(host: Any) -> None:
    total = int(host.check_output("awk '/^MemTotal:/ {print $2 * 1024}' /proc/meminfo"))
    (line,) = [text for text in metrics(host).splitlines() if text.startswith("node_memory_MemTotal_bytes ")]
    assert float(line.split()[1]) == total


def test_demands_a_certificate(host: Any) -> None:
    answer = host.run(f"curl -sS --cacert {TLS}/ca.crt https://{SITE.address(host)}:{PORT}/metrics")
    assert answer.rc != 0, "answers anyone"
    assert "certificate required" in answer.stderr


def test_survives_a_restart(host: Any) -> None:
    checks.check_survives_restart(host, UNIT, lambda: "node_memory_MemTotal_bytes" in metrics(host))
