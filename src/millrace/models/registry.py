"""Bundles as model versions of an MLflow registry.

`log_bundle` is for clients and needs mlflow-skinny. `fetch_bundle` is for servers: MLflow's plain REST
interface and requests, so that a prediction server carries no MLflow.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from millrace.models.bundle import MANIFEST, Bundle, InvalidBundle, Manifest

ARTIFACT_PATH = "bundle"
DIGEST_TAG = "millrace.digest"
TIMEOUT = (5, 60)  # seconds to connect, and between two pieces of an answer


class RegistryError(Exception):
    """The registry cannot be asked, or holds something that is not a bundle; the text says which and why."""


class ModelNotFound(RegistryError):
    """The registry has no such model or version."""


def log_bundle(path: str | os.PathLike[str], name: str, run_id: str | None = None) -> str:
    """Register a bundle as the next version of model `name`, and return that version (`"3"`).

    The registry and its login come from MLflow's own variables (MLFLOW_TRACKING_URI, ...). The bundle
    becomes an artifact of run `run_id`, or of a new run in the experiment that has the model's name.
    Raises InvalidBundle, and MLflow's own exceptions.
    """
    from mlflow import MlflowClient  # type: ignore[import-not-found, unused-ignore]
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found, unused-ignore]

    bundle = Bundle.load(path)
    client = MlflowClient()
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name)
    own_run = run_id is None
    if run_id is None:
        experiment = client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
        run_id = client.create_run(experiment_id, run_name=name).info.run_id
    client.log_artifacts(run_id, str(bundle.path), ARTIFACT_PATH)
    source = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACT_PATH}"
    tags = {DIGEST_TAG: bundle.digest, "millrace.framework": bundle.manifest.framework}
    version = client.create_model_version(name, source, run_id, tags=tags)
    if own_run:
        client.set_terminated(run_id)
    return str(version.version)


def fetch_bundle(
    registry_url: str,
    name: str,
    version: str,
    dest: str | os.PathLike[str],
    tls: tuple[str, str, str] | None = None,
) -> Bundle:
    """Bring version `version` of model `name` into directory `dest`, and return it.

    `tls` names the files of the CA, and of the client's certificate and key. `dest` appears complete or not
    at all; if it already holds the bundle, nothing but the version's record is asked for.
    Raises ModelNotFound, RegistryError (out of reach, wrong digest), InvalidBundle (broken content).
    """
    dest = Path(dest)
    with _session(tls) as session:
        record = _version_record(session, registry_url, name, version)
        digest = {tag["key"]: tag["value"] for tag in record.get("tags", [])}.get(DIGEST_TAG)
        if digest is None:
            raise RegistryError(
                f"{name}:{version} is no bundle, it has no tag {DIGEST_TAG}: register with millrace.log_model"
            )
        if (dest / MANIFEST).exists():
            try:
                present = Bundle.load(dest)
                if present.digest == digest:
                    return present
            except InvalidBundle:
                pass  # a damaged copy is fetched again
        base = _artifact_url(registry_url, str(record.get("source", "")))
        content = _get(session, f"{base}/{MANIFEST}").content
        manifest = Manifest.parse(content)
        if manifest.digest != digest:
            raise RegistryError(
                f"{name}:{version} was changed in the registry: {manifest.digest}, but tagged {digest}"
            )
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{dest.name}.", dir=dest.parent) as parent:
            draft = Path(parent) / "bundle"
            draft.mkdir()
            (draft / MANIFEST).write_bytes(content)
            for file in manifest.files:
                with (
                    _get(session, f"{base}/{quote(file)}", stream=True) as answer,
                    (draft / file).open("wb") as out,
                ):
                    for piece in answer.iter_content(1 << 20):
                        out.write(piece)
            bundle = Bundle.load(draft)
            if dest.exists():
                shutil.rmtree(dest)
            draft.rename(dest)
    return Bundle(dest, bundle.manifest)


def newest_version(registry_url: str, name: str, tls: tuple[str, str, str] | None = None) -> str:
    """The newest version of a registered model. Raises ModelNotFound, RegistryError."""
    url = f"{registry_url.rstrip('/')}/api/2.0/mlflow/model-versions/search"
    escaped = name.replace("'", "''")
    query = {"filter": f"name='{escaped}'", "order_by": "version_number DESC", "max_results": "1"}
    with _session(tls) as session:
        try:
            found = _get(session, url, params=query).json().get("model_versions", [])
            if not found:
                raise ModelNotFound(f"the registry has no model {name!r}")
            return str(found[0]["version"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RegistryError(f"{url} did not answer as MLflow does: {error!r}") from error


def _session(tls: tuple[str, str, str] | None) -> requests.Session:
    session = requests.Session()
    # A proxy or CA of the environment is not meant for the site's own registry.
    session.trust_env = False
    if tls is not None:
        session.verify, session.cert = tls[0], (tls[1], tls[2])
    return session


def _version_record(session: requests.Session, registry_url: str, name: str, version: str) -> dict[str, Any]:
    url = f"{registry_url.rstrip('/')}/api/2.0/mlflow/model-versions/get"
    try:
        answer = _get(session, url, params={"name": name, "version": version}, refused=(400, 404))
        if answer.status_code in (400, 404):
            raise ModelNotFound(f"the registry has no version {version} of a model {name!r}")
        record = answer.json()["model_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"{url} did not answer as MLflow does: {error!r}") from error
    if not isinstance(record, dict):
        raise RegistryError(f"{url} did not answer as MLflow does: {record!r}")
    return record


def _artifact_url(registry_url: str, source: str) -> str:
    """Where MLflow serves the artifacts below `mlflow-artifacts:/<experiment>/<run>/artifacts/bundle`."""
    parts = urlsplit(source)
    path = PurePosixPath(parts.path.lstrip("/"))
    if parts.scheme != "mlflow-artifacts" or ".." in path.parts:
        raise RegistryError(
            f"the bundle lies at {source!r}, but only what MLflow serves (mlflow-artifacts:) is fetched"
        )
    return f"{registry_url.rstrip('/')}/api/2.0/mlflow-artifacts/artifacts/{quote(str(path))}"


def _get(
    session: requests.Session, url: str, refused: tuple[int, ...] = (), **options: Any
) -> requests.Response:
    """The answer, if it is a good one or its status is among `refused`."""
    try:
        answer = session.get(url, timeout=TIMEOUT, **options)
    except requests.RequestException as error:
        raise RegistryError(f"the registry does not answer: {error}") from error
    if not answer.ok and answer.status_code not in refused:
        raise RegistryError(f"{url} answered {answer.status_code}: {answer.text[:300]}")
    return answer
