"""A fresh host becomes a site: what is wrong is said first, then check mode, converge, runs without a change.

The order of the tests is the order of a host's life. From the first one on nothing on the host but apt
reaches the world: all other software comes from the artifact store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

from tests.life.playbook import end, recap, site_yml
from tests.site import checks
from tests.site.edge import addresses_up, by_sockets
from tests.site.live import SITE

PLACES = ("/opt/millrace", "/etc/millrace", "/var/lib/millrace")


@pytest.fixture(scope="module")
def hosts() -> list[Any]:
    return [testinfra.get_host(host) for host in SITE.hosts("all")]


@pytest.fixture(scope="module", autouse=True)
def only_apt_reaches_the_world(hosts: list[Any]) -> Iterator[None]:
    """The default route is there for apt's own user alone, and one to the DNS servers that were named."""
    forwarders = site_variable("dns_forwarders")
    gateways = {}
    for host in hosts:
        gateway = gateways[SITE.name(host)] = host.check_output("ip -4 route show default").split()[2]
        for forwarder in forwarders:
            host.check_output("ip route replace %s via %s", forwarder, gateway)
        host.check_output("ip route replace default via %s table 100", gateway)
        host.check_output("ip rule add uidrange %s-%s lookup 100", *[str(host.user("_apt").uid)] * 2)
        host.check_output("ip route del default")
    yield
    for host in hosts:
        host.check_output("ip route add default via %s", gateways[SITE.name(host)])
        host.check_output("ip rule del lookup 100")
        for forwarder in forwarders:
            host.check_output("ip route del %s", forwarder)


def site_variable(name: str) -> Any:
    """As ./millrace wrote it into the inventory of the box."""
    return yaml.safe_load((SITE.directory / "inventory/group_vars/all.yml").read_text())[name]


def places(host: Any) -> list[str]:
    return [place for place in PLACES if host.file(place).exists]


def test_the_world_is_out_of_reach_but_for_apt(hosts: list[Any]) -> None:
    for host in hosts:
        world = host.run("timeout 10 bash -c ': < /dev/tcp/192.0.2.1/443'")
        assert world.rc != 0
        assert "unreachable" in world.stderr
        update = host.run("apt-get update -q -o APT::Update::Error-Mode=any")
        assert update.rc == 0, update.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-e", "kafka_heep=1g"], "kafka_heep"),
        (["-e", "preflight_memory_mb=10000000"], "of memory"),
        (["-e", "preflight_disk_mb=100000000"], "free"),
        (["-e", "site_domain=under_score"], "is not a DNS name"),
    ],
)
def test_what_cannot_become_a_site_is_told_before_anything_is_changed(
    hosts: list[Any], words: list[str], said: str
) -> None:
    run = site_yml(*words)
    assert run.returncode != 0, end(run.stdout)
    assert said in run.stdout, end(run.stdout)
    assert [places(host) for host in hosts] == [[]] * len(hosts)


def test_an_empty_group_is_told_before_anything_is_changed(hosts: list[Any], tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(
        yaml.safe_dump({"all": {"hosts": {"node1": None}, "children": {"edge": {"hosts": {"node1": None}}}}})
    )
    here = SITE.facts["inventories"][-1]
    run = site_yml("-i", tmp_path / "hosts.yml", "-i", here, inventories=False)
    assert run.returncode != 0, end(run.stdout)
    assert "Group 'store' of the inventory is empty" in run.stdout, end(run.stdout)
    assert [places(host) for host in hosts] == [[]] * len(hosts)


def test_check_mode_on_a_fresh_host_changes_nothing(hosts: list[Any]) -> None:
    run = site_yml("--check", "--diff")
    assert run.returncode == 0, end(run.stdout)
    assert all(counts["changed"] > 0 for counts in recap(run.stdout).values())
    assert [places(host) for host in hosts] == [[]] * len(hosts)


def test_converge() -> None:
    run = site_yml()
    assert run.returncode == 0, end(run.stdout)
    assert all(counts["changed"] > 0 and counts["failed"] == 0 for counts in recap(run.stdout).values())


@pytest.mark.parametrize("words", [[], ["--check", "--diff"], ["--tags", "gateway"], ["--limit", "edge"]])
def test_a_further_run_changes_nothing(words: list[str]) -> None:
    run = site_yml(*words)
    assert run.returncode == 0, end(run.stdout)
    assert {counts["changed"] for counts in recap(run.stdout).values()} == {0}, changed_tasks(run.stdout)


def changed_tasks(output: str) -> str:
    """The tasks that changed something."""
    found, task = [], ""
    for line in output.splitlines():
        task = line if line.startswith(("TASK", "RUNNING")) else task
        if line.startswith("changed:"):
            found.append(task)
    return "\n".join(found)


def tells_the_client() -> bool:
    """Whether the first gateway tells prediction servers who asks."""
    text = testinfra.get_host(SITE.hosts("edge")[0]).file("/etc/haproxy/haproxy.cfg").content_string
    rules = text.partition("\nbackend prediction ")[2].partition("\nbackend ")[0]
    assert rules
    return "set-header X-Forwarded-For" in rules


def test_a_gateway_that_is_told_to_finds_the_prediction_servers_by_srv() -> None:
    """As one does whose site has them on several hosts; and it tells who asks where that is logged."""
    assert by_sockets()
    assert not tells_the_client()
    serving = [SITE.address(testinfra.get_host(host)) for host in SITE.hosts("serve")]
    expected = sorted(serving * int(SITE.services["prediction"]["span"]))
    try:
        settings = ("gateway_predict_local=false", "prediction_access_log=true")
        run = site_yml("--tags", "gateway", *(word for each in settings for word in ("-e", each)))
        assert run.returncode == 0, end(run.stdout)
        assert tells_the_client()
        checks.wait_for("they are found by SRV", lambda: sorted(addresses_up("prediction")) == expected, 30)
        with SITE.client(login=False) as session:
            assert session.get(f"https://{SITE.gateway}/v2/health/ready", timeout=10).status_code == 200
    finally:
        back = site_yml("--tags", "gateway")
    assert back.returncode == 0, end(back.stdout)
    checks.wait_for("all by sockets again", lambda: addresses_up("prediction") == ["-"] * len(expected), 30)


def test_a_host_of_one_site_is_not_taken_by_another(tmp_path: Path) -> None:
    run = site_yml("-e", "site_name=another", "-e", f"site_state={tmp_path}")
    assert run.returncode != 0, end(run.stdout)
    assert SITE.facts["name"] in run.stdout, end(run.stdout)
    assert site_yml("--tags", "dns").returncode == 0
