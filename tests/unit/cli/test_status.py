"""What a host and Prometheus answer, as the tables of `millrace status` show it."""

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from millrace.cli import app, tables
from millrace.cli import status as verb
from millrace.cli.probe import Unit, parse
from millrace.cli.services import SERVICES, connections, find
from millrace.site import Host, Site

ANSWER = """\
2
0.42 0.10 0.05 1/200 999
2500000000 8000000000
3000000000 100000000000
Id=haproxy.service
MemoryCurrent=52428800
ActiveState=active
SubState=running
NRestarts=0

Id=millrace-prediction@1.service
MemoryCurrent=100
ActiveState=active
SubState=running
NRestarts=2

Id=millrace-prediction@2.service
MemoryCurrent=[not set]
ActiveState=failed
SubState=failed
NRestarts=18446744073709551615
"""
HOST = Host("node1", "172.30.8.11", groups=("edge", "serve", "observe"))


def site() -> Site:
    return Site(
        "demo", Path("/x"), "localhost:8443", "/x/ca.crt", "millrace.internal", "/x/s.yml", hosts=(HOST,)
    )


def test_a_hosts_answer_is_read() -> None:
    state = parse(ANSWER)
    assert (state.cores, state.load, state.memory, state.disk_used) == (2, 0.42, 8_000_000_000, 3_000_000_000)
    assert state.units[0].name == "haproxy.service"
    assert state.units[2] == Unit("millrace-prediction@2.service", "failed", "failed", 0, 0)


def test_one_failed_process_of_several_is_named() -> None:
    state = parse(ANSWER)
    units = tables.units_of(find("prediction"), state.units)
    assert tables.state_of(units) == "millrace-prediction@2 failed (failed)"
    assert tables.state_of(units[:1]) == "running, 2 restarts"
    assert tables.state_of(()) == "not there"


@pytest.mark.parametrize(
    ("values", "shown"), [([1.0], ("up", True)), ([1.0, 0.0], ("1 of 2 up", False)), ([], ("", True))]
)
def test_targets_of_prometheus_count_for_their_host(values: list[float], shown: tuple[str, bool]) -> None:
    targets = [({"job": "prediction", "host": "node1"}, value) for value in values]
    elsewhere = [({"job": "prediction", "host": "node2"}, 0.0), ({"job": "control", "host": "node1"}, 0.0)]
    assert tables.scraped(find("prediction"), HOST, targets + elsewhere) == shown


def test_what_the_first_host_of_a_group_runs_is_looked_for_there_alone() -> None:
    hosts = tuple(
        Host(f"node{n}", f"192.0.2.{n}", groups=("edge", "store", "train", "serve", "observe"))
        for n in (1, 2)
    )
    two = dataclasses.replace(site(), hosts=hosts)
    table, _ = tables.services_table(two, {"node1": None, "node2": None}, [])
    services, places = ([str(cell) for cell in column.cells] for column in table.columns[:2])
    second = [service for service, host in zip(services, places, strict=True) if host == "node2"]
    assert second == [
        "dns", "gateway", "kafka", "spark-worker", "prediction", "docs", "prometheus",
        "node-exporter", "sshd",
    ]  # fmt: skip
    assert services.count("control") == services.count("postgresql") == 1


def test_every_service_but_ssh_is_on_the_map_of_connections() -> None:
    assert [s.name for s in SERVICES if s.name.replace("-", "_") not in connections()] == ["sshd"]


def test_every_target_of_prometheus_is_shown_beside_a_service() -> None:
    shown = {service.job or service.name.replace("-", "_") for service in SERVICES}
    assert {name for name, entry in connections().items() if "metrics" in entry} <= shown


def test_a_service_is_found_by_the_name_that_an_alert_has_for_it() -> None:
    assert find("dns_metrics").name == "dns"


def test_a_site_with_a_stopped_unit_is_not_well() -> None:
    _, well = tables.services_table(site(), {"node1": parse(ANSWER)}, [])
    assert not well


def test_a_host_out_of_reach_is_not_well() -> None:
    _, well = tables.services_table(site(), {"node1": None}, [])
    assert not well


def test_a_pipe_gets_each_row_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = ("edge", "observe", "serve", "store", "stream", "train")
    wide = dataclasses.replace(site(), hosts=(dataclasses.replace(HOST, groups=groups),))
    monkeypatch.setattr("millrace.site.find", lambda *_: wide)
    monkeypatch.setattr(verb, "look", lambda *_: parse(ANSWER))
    monkeypatch.setattr(verb, "gateway_says", lambda _: ("no server " * 20, [], []))
    shown = CliRunner().invoke(app, ["status"]).output.splitlines()
    assert "no server " * 20 in shown[0]
    assert [line.startswith("HOST") for line in shown[1:3]] == [True, False]
    assert shown[2].rstrip().endswith("edge observe serve store stream train")
