"""Prediction servers: each process alone, all behind the gateway, and what happens when one ends."""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import testinfra

from tests.site import checks
from tests.site.edge import wait_for_all_prediction_servers
from tests.site.live import SITE
from tests.site.versions import deploy, infer, register, remove
from tests.unit.serving.bundles import make_bundle

testinfra_hosts = SITE.hosts("serve")
MODEL = "site-prediction"
PROCESSES = int(SITE.size["prediction"]["processes"])
UNITS = [f"millrace-prediction@{n}.service" for n in range(1, PROCESSES + 1)]
PORTS = {unit: int(SITE.services["prediction"]["port"]) + n for n, unit in enumerate(UNITS)}
SOCKETS = SITE.variables["site_prediction_sockets"]
TLS = "--cacert /etc/millrace/tls/ca.crt --cert /etc/millrace/tls/host.crt --key /etc/millrace/tls/host.key"


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One version of a small model, live."""
    bundle = make_bundle(tmp_path_factory.mktemp("model") / "bundle")
    version = register(bundle, MODEL)
    answer = deploy(MODEL, version)
    assert answer.status_code == 200, answer.text
    yield version
    remove(MODEL)


def name_of(host: Any) -> str:
    return f"{host.backend.get_pytest_id().split('://')[-1].split('?')[0]}.{SITE.domain}"


def ask(host: Any, unit: str, path: str, options: str = TLS) -> tuple[int, str]:
    """What a process answers by the host's name, asked on the host: status and body."""
    url = f"https://{name_of(host)}:{PORTS[unit]}{path}"
    run = host.run(f"curl -s -m 10 {options} -w '\\n%{{http_code}}' {url}")
    body, _, status = run.stdout.rpartition("\n")
    return int(status), body


def is_ready(host: Any, unit: str) -> bool:
    return ask(host, unit, "/v2/health/ready")[0] == 200


def serves(host: Any, unit: str) -> bool:
    return ask(host, unit, f"/v2/models/{MODEL}/ready")[0] == 200


@contextmanager
def asked_all_the_time() -> Iterator[list[int]]:
    """Predictions through the gateway until the block ends; the list gets their statuses, 0 for none."""
    statuses: list[int] = []
    end = threading.Event()

    def go() -> None:
        while not end.is_set():
            try:
                statuses.append(infer(MODEL).status_code)
            except requests.RequestException:
                statuses.append(0)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        end.set()
        for thread in threads:
            thread.join()


# What a program sees that runs as Python models do.
LOOK = """import json, os, pathlib, stat
sockets = [str(path) for path in pathlib.Path("/run").rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
room = [os.statvfs(path).f_blocks * os.statvfs(path).f_frsize for path in ("/tmp", "/var/tmp")]
print(json.dumps({"sockets": sockets, "room": room}))
"""


@pytest.fixture
def seen(host: Any) -> Iterator[dict[str, Any]]:
    unit, program = "/run/systemd/system/site-python-model@.service", "/usr/local/share/site-python-model.py"
    text = host.check_output("cat /etc/systemd/system/millrace-python@.service")
    text = re.sub("ExecStart=.*", f"Type=oneshot\nExecStart=/usr/bin/python3 {program}", text)
    for path, content in ((unit, text), (program, LOOK)):
        host.check_output("printf %%s %s > %s", content, path)
    host.check_output("systemctl daemon-reload")
    host.check_output("systemctl start site-python-model@look")
    lines = host.check_output("journalctl -q -o cat -u site-python-model@look").splitlines()
    yield next(json.loads(line) for line in reversed(lines) if line.startswith("{"))
    host.check_output("rm %s %s", unit, program)
    host.check_output("systemctl daemon-reload")


def test_a_python_model_sees_no_socket_of_the_host_and_cannot_fill_its_disk(
    host: Any, seen: dict[str, Any]
) -> None:
    assert host.check_output("find /run/postgresql /run/systemd -type s") != ""
    assert seen["sockets"] == []
    memory = int(host.check_output("awk '/MemTotal/ {print $2}' /proc/meminfo")) * 1024
    assert max(seen["room"]) <= memory / 8


@pytest.mark.parametrize("unit", UNITS)
def test_unit(host: Any, unit: str) -> None:
    checks.check_unit(host, unit)
    checks.check_runs_as(host, unit, "prediction")
    checks.check_memory(host, unit)
    checks.check_listens(host, unit, {(SITE.address(host), PORTS[unit])})


@pytest.mark.parametrize("number", range(1, PROCESSES + 1))
def test_the_gateway_of_its_host_alone_comes_by_a_socket(host: Any, number: int) -> None:
    folder = host.file(SOCKETS)
    if SITE.name(host) not in [member["name"] for member in SITE.members("edge")]:
        assert not folder.exists
        return
    assert (folder.user, folder.group, folder.mode) == ("prediction", "haproxy", 0o2710)
    ask = f"curl -s -m 5 --unix-socket {SOCKETS}/{number}.sock http://localhost"
    answer = host.run(f"runuser -u haproxy -- {ask}/v2/health/ready")
    assert answer.stdout == '{"ready":true,"live":true}', answer
    assert host.run(f"runuser -u nobody -- {ask}/v2/health/ready").rc == 7
    assert "only control" in host.run(f"runuser -u haproxy -- {ask}/replica/status").stdout


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("unit", UNITS)
def test_each_process_answers_by_the_hosts_name(host: Any, unit: str) -> None:
    assert ask(host, unit, "/v2/health/ready") == (200, '{"ready":true,"live":true}')
    assert serves(host, unit)


@pytest.mark.parametrize("unit", UNITS)
def test_nobody_without_a_certificate_of_the_site_is_answered(host: Any, unit: str) -> None:
    assert ask(host, unit, "/v2/health/live", "--cacert /etc/millrace/tls/ca.crt") == (0, "")


def test_every_process_is_listed_in_the_zone(host: Any) -> None:
    srv = f"{SITE.services['prediction']['srv']}.{SITE.domain}"
    resolver = testinfra.get_host(SITE.hosts("edge")[0])
    listed = {
        tuple(line.split()[2:]) for line in resolver.check_output("dig +short SRV %s", srv).splitlines()
    }
    assert {(str(port), f"{name_of(host)}.") for port in PORTS.values()} <= listed


def test_secrets_are_read_by_the_service_alone(host: Any) -> None:
    file = host.file("/etc/millrace/prediction/kafka.password")
    assert (file.user, file.group, file.mode) == ("root", "prediction", 0o640)


def test_the_gateway_leads_to_the_model(version: str) -> None:
    answer = infer(MODEL)
    assert answer.status_code == 200
    assert answer.json()["model_version"] == version
    assert answer.json()["outputs"][0] == {
        "name": "score",
        "datatype": "FP64",
        "shape": [2, 1],
        "data": [2.0, 5.0],
    }


def test_the_gateway_does_not_lead_to_what_control_asks() -> None:
    with SITE.client() as session:
        for name in ("predict", "control"):
            for path in ("/replica/status", "/v2/../replica/status", "/v2/%2e%2e/replica/status"):
                assert session.get(SITE.url(name, path), timeout=10).status_code in (400, 404)


def row(**changes: Any) -> bytes:
    x = {"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]} | changes
    rest = [
        {"name": "kind", "datatype": "BYTES", "shape": [1], "data": ["a"]},
        {"name": "count", "datatype": "INT64", "shape": [1], "data": [1]},
    ]
    return json.dumps({"inputs": [x, *rest]}).encode()


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize(
    ("model", "body", "status", "words"),
    [
        (MODEL, row(name="y"), 400, "'y' is unknown"),
        (MODEL, row(datatype="FP32"), 400, "'x' has datatype FP32"),
        (MODEL, row(shape=[1, 2], data=[1, 2]), 400, "'x' has shape [1, 2]"),
        (MODEL, row(data=["one"]), 400, "'x' holds 'one'"),
        (MODEL, row(data=[None]), 400, "'x' holds null"),
        (MODEL, row(data=[float("nan")]), 400, "not JSON"),
        (MODEL, row(shape=[2], data=[1, 2]), 400, "'kind' has 1 rows, input 'x' has 2"),
        (MODEL, b'{"inputs": [', 400, "not JSON"),
        (
            MODEL,
            row(data=["deep"]).replace(b'"deep"', b"[" * 50_000 + b"]" * 50_000),
            400,
            "nested too deeply",
        ),
        (MODEL, row() + b" " * 8_000_000, 413, "larger than"),
        ("nobody", row(), 404, "'nobody' is not deployed"),
    ],
)
def test_a_bad_request_is_told_why_and_the_next_is_answered(
    model: str, body: bytes, status: int, words: str
) -> None:
    answer = infer(model, data=body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]
    assert infer(MODEL).status_code == 200


@pytest.mark.usefixtures("version")
def test_processes_restart_one_after_the_other_and_no_request_fails(host: Any) -> None:
    with asked_all_the_time() as statuses:
        for unit in UNITS:
            checks.check_survives_restart(host, unit, lambda unit=unit: serves(host, unit))
    assert len(statuses) > PROCESSES
    assert set(statuses) == {200}


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("unit", UNITS)
def test_a_killed_process_comes_back_with_its_models(host: Any, unit: str) -> None:
    before = checks.show(host, unit, "MainPID")
    wait_for_all_prediction_servers()
    with asked_all_the_time() as statuses:
        host.check_output("kill -9 %s", before)
        checks.wait_for(f"{unit} runs again", lambda: checks.show(host, unit, "MainPID") not in (before, "0"))
        checks.wait_for(f"{unit} serves again", lambda: serves(host, unit))
    assert set(statuses) == {200}


@pytest.mark.usefixtures("version")
def test_a_process_that_restarts_without_kafka_serves_from_its_disk(host: Any) -> None:
    stores = [testinfra.get_host(store) for store in SITE.hosts("store")]
    try:
        for store in stores:
            store.check_output("systemctl stop millrace-kafka.service")
        unit = UNITS[-1]
        checks.check_survives_restart(host, unit, lambda: is_ready(host, unit) and serves(host, unit))
        assert infer(MODEL).status_code == 200
    finally:
        for store in stores:
            store.check_output("systemctl start millrace-kafka.service")


@pytest.mark.usefixtures("version")
def test_what_is_deployed_while_a_process_is_away_is_there_when_it_is_back(host: Any, tmp_path: Path) -> None:
    name = f"{MODEL}-removed"
    version = register(make_bundle(tmp_path / "bundle"), name)
    remove(name)
    answer = checks.wait_for("Kafka is back", lambda: (a := deploy(name, version)).status_code == 200 and a)
    assert answer.json()["generation"] == 1
    unit = UNITS[-1]
    host.check_output("systemctl stop %s", unit)
    try:
        with ThreadPoolExecutor(1) as beside:
            answer = beside.submit(remove, name)
            checks.wait_for("the others have switched", lambda: infer(name).status_code == 404)
            # Control waits for the one that is away.
            assert not answer.done()
            host.check_output("systemctl start %s", unit)
            assert answer.result().status_code == 200
    finally:
        host.check_output("systemctl start %s", unit)
    assert is_ready(host, unit)
    assert ask(host, unit, f"/v2/models/{name}")[0] == 404
    assert serves(host, unit)


@pytest.mark.parametrize("unit", UNITS)
def test_metrics_tell_of_the_model(host: Any, unit: str, version: str) -> None:
    status, text = ask(host, unit, "/metrics")
    assert status == 200
    assert "millrace_replica_ready 1.0" in text
    assert f'millrace_inference_requests_total{{model="{MODEL}",outcome="ok",version="{version}"}}' in text
