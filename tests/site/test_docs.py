"""The documentation: the pages of this very version, behind the gateway."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.site import checks
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("edge")
UNIT = "millrace-docs.service"
PORT = SITE.services["docs"]["port"]
TLS = SITE.variables["site_tls_dir"]
ROOT = Path(__file__).parents[2]


def test_unit(host: Any) -> None:
    checks.check_unit(host, UNIT)
    checks.check_runs_as(host, UNIT, "millrace-docs")
    checks.check_memory(host, UNIT)


def test_listens(host: Any) -> None:
    checks.check_listens(host, UNIT, {(SITE.address(host), PORT)})


def test_demands_a_certificate(host: Any) -> None:
    answer = host.run(f"curl -sS --cacert {TLS}/ca.crt https://{SITE.address(host)}:{PORT}/")
    assert "No required SSL certificate was sent" in answer.stdout + answer.stderr


def test_debians_own_server_does_not_run(host: Any) -> None:
    assert not host.service("nginx").is_running
    assert checks.show(host, "nginx.service", "LoadState") == "masked"


def test_wants_a_login() -> None:
    with SITE.client(login=False) as session:
        assert session.get(SITE.url("docs"), timeout=10).status_code == 401


def test_shows_the_versions_of_this_site() -> None:
    bom = yaml.safe_load((ROOT / "playbooks/bom.yml").read_text())["bom_components"]
    with SITE.client() as session:
        answer = session.get(SITE.url("docs", "/reference/versions/"), timeout=10)
    assert answer.status_code == 200, answer.text
    text = re.sub(r"<[^>]+>", " ", answer.text)
    for name in ("kafka", "mlflow", "spark"):
        assert bom[name]["version"] in text


def test_an_address_without_its_last_slash_leads_to_the_same_host() -> None:
    with SITE.client() as session:
        answer = session.get(SITE.url("docs", "/components/dns"), timeout=10, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/components/dns/")


def test_a_page_that_does_not_exist_says_so() -> None:
    with SITE.client() as session:
        answer = session.get(SITE.url("docs", "/no-such-page/"), timeout=10)
    assert answer.status_code == 404
    assert "404 - Not found" in answer.text


def test_survives_a_restart(host: Any) -> None:
    def answers() -> bool:
        with SITE.client() as session:
            return session.get(SITE.url("docs"), timeout=10).status_code == 200

    checks.check_survives_restart(host, UNIT, answers)
