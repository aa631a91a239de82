"""MLflow: who gets to the registry, and that runs, models and files are where they should be."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.site import checks
from tests.site.inside import ask, check_demands_certificate
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("store")[:1]
UNIT = "millrace-mlflow.service"
STATE = "/var/lib/millrace/mlflow"
API = "/api/2.0/mlflow"
MODEL = "site-mlflow"
REGISTRY = SITE.url("registry", "")
CONTENT = bytes(range(256)) * 5000


def registry(
    method: str, path: str, *, login: bool = True, base: str = REGISTRY, **more: Any
) -> requests.Response:
    """One request through the gateway, under the registry's name unless `base` is another."""
    with SITE.client(login=login) as session:
        return session.request(method, f"{base}{path}", timeout=30, **more)


def call(verb: str, method: str = "POST", **content: Any) -> Any:
    """One call of MLflow's REST API; its answer."""
    options = {"params": content} if method == "GET" else {"json": content}
    answer = registry(method, f"{API}/{verb}", **options)
    assert answer.status_code == 200, f"{verb}: {answer.text}"
    return answer.json()


def run_with_file() -> tuple[str, str]:
    """A finished run with a metric and one file: its id, and the path of the file behind the artifact API."""
    info = call("runs/create", experiment_id="0", run_name=MODEL)["run"]["info"]
    call("runs/log-metric", run_id=info["run_id"], key="area", value=0.875, timestamp=0)
    path = info["artifact_uri"].removeprefix("mlflow-artifacts:/") + "/folder/file.bin"
    answer = registry("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", data=CONTENT)
    assert answer.status_code == 200, answer.text
    call("runs/update", run_id=info["run_id"], status="FINISHED")
    return info["run_id"], path


def area(run: str) -> float:
    return float(call("runs/get", "GET", run_id=run)["run"]["data"]["metrics"][0]["value"])


def file_of(path: str) -> bytes:
    answer = registry("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}")
    assert answer.status_code == 200, answer.text
    return answer.content


def test_unit(host: Any) -> None:
    checks.check_unit(host, UNIT)
    checks.check_runs_as(host, UNIT, "mlflow")
    checks.check_memory(host, UNIT)


def test_listens(host: Any) -> None:
    checks.check_listens(host, UNIT, {(SITE.address(host), SITE.services["mlflow"]["port"])})


def test_answers_by_the_hosts_name_to_who_has_a_certificate(host: Any) -> None:
    assert ask(host, "mlflow", "/health") == (200, "OK")
    check_demands_certificate(host, "mlflow")


def test_a_name_that_is_not_the_sites_is_refused(host: Any) -> None:
    # A page of elsewhere whose name was turned to this address must not reach it from a browser.
    status, text = ask(
        host, "mlflow", f"{API}/experiments/get?experiment_id=0", headers={"Host": "evil.test"}
    )
    assert (status, "Invalid Host" in text) == (403, True), text


def answered(host: Any) -> float:
    """DELETE requests that the metrics of all workers together tell of."""
    status, text = ask(host, "mlflow", SITE.services["mlflow"]["metrics"])
    assert status == 200, text
    counts = [line for line in text.splitlines() if line.startswith("mlflow_http_request_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counts if 'method="DELETE"' in line)


def test_metrics_tell_of_a_request(host: Any) -> None:
    before = answered(host)
    # A method that nothing else uses now, answered with 404.
    registry("DELETE", f"{API}/registered-models/delete", json={"name": "nobody"})
    assert answered(host) == before + 1


def test_the_gateway_shows_metrics_to_nobody_without_a_login() -> None:
    path = SITE.services["mlflow"]["metrics"]
    assert registry("GET", path, login=False).status_code == 401
    assert registry("GET", path).status_code == 200


def counts(host: Any) -> set[str]:
    """The files in which workers keep their counts."""
    return set(host.check_output("ls /run/millrace-mlflow").split())


@pytest.mark.parametrize("base", [REGISTRY, f"https://{SITE.gateway}"])
def test_the_gateway_leads_to_it_after_a_login(base: str) -> None:
    path = f"{API}/experiments/get?experiment_id=0"
    assert registry("GET", path, base=base, login=False).status_code == 401
    answer = registry("GET", path, base=base)
    assert answer.status_code == 200, answer.text
    assert answer.json()["experiment"]["lifecycle_stage"] == "active"


def test_its_pages_are_shown() -> None:
    answer = registry("GET", "/")
    assert answer.status_code == 200, answer.text
    assert "<title>MLflow</title>" in answer.text


def test_secrets_are_read_by_the_service_alone(host: Any) -> None:
    file = host.file("/etc/millrace/mlflow/server.env")
    assert (file.user, file.group, file.mode) == ("root", "mlflow", 0o640)


def test_runs_are_in_the_database_and_files_in_its_own_directory(host: Any) -> None:
    run, path = run_with_file()
    sql = f"SELECT status FROM runs WHERE run_uuid = '{run}'"
    assert host.check_output("runuser -u postgres -- psql -XAt -d mlflow -c %s", sql) == "FINISHED"
    stored = host.file(f"{STATE}/artifacts/{path}")
    assert (stored.user, stored.size) == ("mlflow", len(CONTENT))
    assert file_of(path) == CONTENT
    # Where MLflow would have kept runs without a database.
    assert host.check_output("find %s -name mlruns -o -name '*.db'", STATE) == ""


def test_files_cannot_be_put_beside_the_artifacts() -> None:
    for path in ("../../x", "%2e%2e/%2e%2e/x", "..%2f..%2fx", "/etc/x", "a/%252e%252e/%252e%252e/x"):
        url = f"{REGISTRY}/api/2.0/mlflow-artifacts/artifacts/{path}"
        with SITE.client() as session:
            request = session.prepare_request(requests.Request("PUT", url, data=b"x"))
            request.url = url
            assert session.send(request, timeout=10).status_code in (400, 404), path


def test_a_version_names_its_run() -> None:
    run, path = run_with_file()
    registry("POST", f"{API}/registered-models/create", json={"name": MODEL})
    source = f"mlflow-artifacts:/{path.rsplit('/', 1)[0]}"
    version = call("model-versions/create", name=MODEL, source=source, run_id=run)["model_version"]
    assert (version["status"], version["run_id"]) == ("READY", run)
    found = call("model-versions/search", "GET", filter=f"name='{MODEL}'")["model_versions"]
    assert version["version"] in [v["version"] for v in found]
    call("registered-models/delete", "DELETE", name=MODEL)


def test_survives_a_restart_of_itself_and_of_its_database(host: Any) -> None:
    run, path = run_with_file()
    before = counts(host)
    checks.check_survives_restart(host, UNIT, lambda: registry("GET", "/health").status_code == 200)
    assert before, "no worker keeps counts"
    assert not before & counts(host), "counts of processes that are gone stayed"
    assert area(run) == 0.875
    assert file_of(path) == CONTENT
    host.check_output("systemctl restart postgresql@17-main.service")
    assert area(run) == 0.875
