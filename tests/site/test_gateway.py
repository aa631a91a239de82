"""The gateway: what comes in, where it goes, and what it refuses."""

import json
import re
import socket
import ssl
import threading
from typing import Any

import pytest
import requests

from tests.site import checks
from tests.site.edge import addresses_up, by_sockets
from tests.site.inside import run_program
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("edge")
UNIT = "haproxy.service"
PORT = SITE.services["gateway"]["port"]
METRICS = SITE.services["gateway_metrics"]["port"]
TLS = SITE.variables["site_tls_dir"]
CURL = f"curl -sS --cacert {TLS}/ca.crt"
CERTIFICATE = f"--cert {TLS}/host.crt --key {TLS}/host.key"
NAMED = {name: key for key, service in SITE.services.items() for name in service.get("name", [])}
HOST, PUBLISHED = SITE.gateway.rsplit(":", 1)


def ask(path: str, *, name: str = "", login: bool = False, **options: Any) -> requests.Response:
    """One request to the gateway under a host name (empty: the gateway's own address)."""
    headers = {**options.pop("headers", {}), **({"Host": name} if name else {})}
    method, url = options.pop("method", "GET"), f"https://{SITE.gateway}{path}"
    with SITE.client(login=login) as session:
        return session.request(method, url, headers=headers, timeout=30, **options)


def tls(name: str, *protocols: str) -> ssl.SSLSocket:
    """A connection whose certificate was verified for `name`."""
    context = ssl.create_default_context(cafile=SITE.ca)
    context.set_alpn_protocols(protocols or ["http/1.1"])
    return context.wrap_socket(
        socket.create_connection((HOST, int(PUBLISHED)), timeout=10), server_hostname=name
    )


def raw(request: str) -> str:
    """The start of what the gateway answers to exactly these bytes."""
    with tls(HOST) as connection:
        connection.sendall(request.encode())
        return connection.recv(65536).decode()


def assert_refused(answer: requests.Response, status: int) -> str:
    """The refusal is JSON and says why."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return str(answer.json()["error"])


def metric(host: Any, name: str, **labels: str) -> float:
    """One of HAProxy's own metrics."""
    url = f"https://{SITE.address(host)}:{METRICS}/metrics"
    text = host.check_output(
        f"curl -sS --cacert {TLS}/ca.crt --cert {TLS}/host.crt --key {TLS}/host.key {url}"
    )
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = [
        line for line in text.splitlines() if line.startswith(name + "{") and all(w in line for w in wanted)
    ]
    assert len(lines) == 1, f"{name} {labels}: {lines}"
    return float(lines[0].rsplit(" ", 1)[1])


def test_unit(host: Any) -> None:
    checks.check_unit(host, UNIT)
    checks.check_runs_as(host, UNIT, "haproxy")
    checks.check_memory(host, UNIT)


def test_its_key_is_read_by_it_alone(host: Any) -> None:
    key = host.file(f"{TLS}/gateway.key")
    assert (key.user, key.group, key.mode) == ("root", "haproxy", 0o640)


def test_listens(host: Any) -> None:
    address = SITE.address(host)
    checks.check_listens(host, UNIT, {(address, PORT), (address, METRICS)})


@pytest.mark.parametrize("name", sorted(NAMED))
def test_certificate_is_for_every_name(name: str) -> None:
    for fqdn in (f"{name}.{SITE.domain}", f"{name}.localhost"):
        with tls(fqdn, "h2", "http/1.1") as connection:
            assert connection.selected_alpn_protocol() == "h2"


@pytest.mark.parametrize("name", ["", f"predict.{SITE.domain}", "predict.localhost", "no-such-name.example"])
def test_predictions_answer_on_any_name_without_login(name: str) -> None:
    answer = ask("/v2/health/ready", name=name)
    assert answer.status_code == 200, answer.text
    assert answer.json()["ready"] is True


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("", "/"),
        ("no-such-name.example", "/"),
        (f"no-such-name.{SITE.domain}", "/"),
        ("predict.localhost", "/metrics"),
        ("predict.localhost", "/v22"),
    ],
)
def test_unknown_names_and_paths(name: str, path: str) -> None:
    assert "registry." in assert_refused(ask(path, name=name, login=True), 404)


@pytest.mark.parametrize("path", ["/v2/../metrics", "/v2/%2e%2e/metrics", "/v2/..%2fmetrics"])
def test_a_path_cannot_climb_out(path: str) -> None:
    answer = raw(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 400"), answer


PROTECTED = [("", "/deployments"), ("", "/api/2.0/mlflow/experiments/search")] + [
    (f"{name}.{SITE.domain}", "/")
    for name, key in sorted(NAMED.items())
    if SITE.services[key].get("gateway") and key != "spark_connect"
]


@pytest.mark.parametrize(("name", "path"), PROTECTED)
def test_everything_else_demands_a_login(name: str, path: str) -> None:
    user, password = SITE.user()
    assert "login" in assert_refused(ask(path, name=name), 401)
    for wrong in [(user, password + "x"), (user, ""), ("nobody", password), (user.upper(), password)]:
        assert_refused(ask(path, name=name, auth=wrong), 401)


@pytest.mark.parametrize("group", sorted({user["group"] for user in SITE.variables["site_users"]}))
def test_users_of_every_group_get_in(group: str) -> None:
    answer = ask("/deployments", auth=SITE.user(group))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("spelling", ["X-Millrace-{}", "x_millrace_{}", "X-MILLRACE-{}"])
def test_headers_that_say_who_asks_are_the_gateways_alone(spelling: str) -> None:
    forged = {spelling.format("User"): "root", spelling.format("Group"): "nobody"}
    secret = {spelling.format("Gateway"): SITE.secrets["gateway_to_backend"]}
    path = "/deployments/no-such-model"
    assert_refused(ask(path, headers={**forged, **secret}), 401)
    # A group of this name may delete nothing: it did not get through when the model is all that is missing.
    answer = ask(path, method="DELETE", headers=forged, login=True)
    assert answer.status_code == 404, answer.text


def test_a_huge_prediction_request_is_refused_before_it_is_sent() -> None:
    head = f"POST /v2/models/any/infer HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {10**10}\r\n\r\n"
    answer = raw(head)
    assert answer.startswith("HTTP/1.1 413"), answer
    assert '{"error": "the request is larger' in answer


def test_a_client_that_sends_all_of_a_huge_request_reads_why_it_is_refused() -> None:
    assert "larger" in assert_refused(ask("/v2/models/any/infer", method="POST", data=b" " * 30_000_000), 413)


def test_finds_every_prediction_server(host: Any) -> None:
    expected = len(SITE.members("serve")) * int(SITE.services["prediction"]["span"])

    def found() -> bool:
        return metric(host, "haproxy_backend_active_servers", proxy="prediction") == expected

    checks.wait_for(f"{expected} prediction servers are ready", found, 30)


def test_servers_of_its_own_host_alone_are_reached_by_sockets() -> None:
    expected = "-" if by_sockets() else r"[\d.]+"
    assert all(re.fullmatch(expected, address) for address in addresses_up("prediction"))
    assert addresses_up("prediction")


def test_a_prediction_that_comes_in_two_pieces_is_repeated_when_its_server_ends(host: Any) -> None:
    body = json.dumps({"inputs": ["x" * 10_000]})
    told = run_program(host, "gateway_echo.py", {"pieces": ["/v2/models/m/infer", body], "times": 12})
    assert told["statuses"] == [200]
    assert told["ended"] > 0


def test_servers_of_its_own_host_are_filled_when_many_predictions_come(host: Any) -> None:
    """By the gateway's own rule, as if every rate were above the one from which on it holds."""
    told = run_program(host, "gateway_echo.py", {"held": "/v2/models/m", "rate": 0})
    alone = [member["name"] for member in SITE.members("serve")] == [SITE.name(host)]
    assert bool(told["fill"]) == (alone and SITE.size["gateway"]["threads"] == 1)
    if told["fill"]:
        assert told["held"] == {"local1": told["fill"], "local2": 4}


def test_few_predictions_are_spread_over_all_servers(host: Any) -> None:
    told = run_program(host, "gateway_echo.py", {"held": "/v2/models/m", "rate": 10**6})
    assert max(told["held"].values()) - min(told["held"].values()) <= 1


@pytest.mark.parametrize("service", sorted({k for k in NAMED.values() if SITE.services[k].get("gateway")}))
def test_every_service_behind_it_is_up(host: Any, service: str) -> None:
    def up() -> bool:
        return metric(host, "haproxy_backend_active_servers", proxy=service) >= 1

    checks.wait_for(f"the gateway sees a server of {service}", up, 30)


def test_metrics_demand_a_certificate(host: Any) -> None:
    answer = host.run(f"{CURL} https://{SITE.address(host)}:{METRICS}/metrics")
    assert answer.rc != 0, "answers anyone"
    assert "certificate required" in answer.stderr


def test_requests_go_on_during_reloads(host: Any) -> None:
    failed: list[str] = []
    answered = 0
    stop = threading.Event()

    def client() -> None:
        nonlocal answered
        with SITE.client(login=False) as session:
            while not stop.is_set():
                try:
                    answer = session.get(f"https://{SITE.gateway}/v2/health/ready", timeout=10)
                    answered += answer.status_code == 200
                    if answer.status_code != 200:
                        failed.append(answer.text)
                except requests.RequestException as error:
                    failed.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            reload = host.run("systemctl reload haproxy")
            assert reload.rc == 0, reload.stderr
            before = answered
            checks.wait_for("requests are answered", lambda: answered > before + 20, 20)  # noqa: B023
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed, f"{len(failed)} of {answered + len(failed)}: {failed[:3]}"


def test_survives_a_restart(host: Any) -> None:
    checks.check_survives_restart(host, UNIT, lambda: ask("/v2/health/ready").status_code == 200)
