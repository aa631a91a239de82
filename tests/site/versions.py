"""Model versions for tests: small bundles in the live registry, by its plain REST interface."""

import time
from pathlib import Path
from typing import Any

import requests

from millrace.models import Bundle
from tests.site.live import SITE


def register(bundle: Bundle, name: str) -> str:
    """Put a bundle into the registry as the next version of model `name`; returns that version."""
    with SITE.client() as session:
        _post(session, "registered-models/create", {"name": name}, exists_is_good=True)
        run = _post(session, "runs/create", {"experiment_id": "0", "start_time": round(time.time() * 1000)})[
            "run"
        ]["info"]
        base = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        for file in Path(bundle.path).iterdir():
            url = f"https://{SITE.gateway}/api/2.0/mlflow-artifacts/artifacts/{base}/bundle/{file.name}"
            assert session.put(url, data=file.read_bytes(), timeout=30).status_code == 200, url
        content = {
            "name": name,
            "source": f"{run['artifact_uri']}/bundle",
            "run_id": run["run_id"],
            "tags": [{"key": "millrace.digest", "value": bundle.digest}],
        }
        return str(_post(session, "model-versions/create", content)["model_version"]["version"])


def deploy(name: str, version: str) -> requests.Response:
    """Ask control, through the gateway, as an operator."""
    with SITE.client() as session:
        url = f"https://{SITE.gateway}/deployments/{name}"
        return session.put(url, json={"version": version}, timeout=120)


def remove(name: str) -> requests.Response:
    with SITE.client() as session:
        return session.delete(f"https://{SITE.gateway}/deployments/{name}", timeout=60)


def infer(name: str, **options: Any) -> requests.Response:
    """A prediction through the gateway, of two rows unless `options` say otherwise."""
    rows = [
        {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.5]},
        {"name": "kind", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
        {"name": "count", "datatype": "INT64", "shape": [2], "data": [7, 8]},
    ]
    options = options or {"json": {"inputs": rows}}
    with SITE.client(login=False) as session:
        return session.post(f"https://{SITE.gateway}/v2/models/{name}/infer", timeout=30, **options)


def _post(session: requests.Session, verb: str, content: dict[str, Any], exists_is_good: bool = False) -> Any:
    answer = session.post(f"https://{SITE.gateway}/api/2.0/mlflow/{verb}", json=content, timeout=30)
    if exists_is_good and "RESOURCE_ALREADY_EXISTS" in answer.text:
        return None
    assert answer.status_code == 200, answer.text
    return answer.json()
