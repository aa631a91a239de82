"""What a data scientist calls: register a bundle, deploy a version, predict. Plain HTTPS to the gateway."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import requests

TIMEOUT = (5, 300)  # seconds to connect, and for an answer: a deployment waits for all replicas
Row = Mapping[str, Any] | Sequence[Any]
# What a value may be.
_JSON = (str, int, float, bool, type(None))


class MillraceError(Exception):
    """The site refused, or cannot be asked. The text says why, and what to do about it.

    `status` is the HTTP status, or None if there was no answer.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class FallbackWarning(UserWarning):
    """A model's fallback answered in its place. The text says which one, and why."""


def log_model(bundle: str | os.PathLike[str], name: str, run_id: str | None = None) -> str:
    """Register a bundle, or the one in a directory, as the next version of `name`; return that, as in `"3"`.

    A bundle that does not reproduce its verification rows is refused here already, with VerificationFailed.
    The registry is MLFLOW_TRACKING_URI with its own variables; `run_id` is an MLflow run to put it in.
    Needs mlflow-skinny. Raises InvalidBundle, and MLflow's own exceptions.
    """
    from millrace.models import Bundle, verify
    from millrace.models.registry import log_bundle

    verify(Bundle.load(bundle))
    return log_bundle(bundle, name, run_id)


def deploy(
    name: str, version: str | int | None = None, policy: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Make a version of a model live on all replicas, and return the deployment record.

    Without `version`, the newest; with a `policy` alone, a model that is live keeps its version.
    Returns when no replica answers with the old version any more.
    `policy` changes how the model is served, as in `{"deadline_seconds": 0.5}`: its keys are those of
    `millrace.serving.policy.Policy`, and what it leaves out stays as it was.
    Raises MillraceError: status 404 for an unknown model or version, 409 when the gate or a replica refuses.
    """
    content: dict[str, Any] = {} if policy is None else {"policy": dict(policy)}
    if version is not None:
        content["version"] = str(version)
    elif not policy or deployment(name) is None:
        content["version"] = _newest(name)
    record = _ask("PUT", _deployment(name), json=content)
    assert isinstance(record, dict)
    return record


def deployment(name: str) -> dict[str, Any] | None:
    """The deployment record of a model, or None when it is not deployed.

    It says what is live, `version` and `digest`, on which `replicas`, with which `policy`, and which `user`
    deployed it at which `time`. Raises MillraceError.
    """
    try:
        record = _ask("GET", _deployment(name))
    except MillraceError as error:
        if error.status != 404:
            raise
        return None
    assert isinstance(record, dict)
    return record


def undeploy(name: str) -> None:
    """Take a model from all replicas; its versions stay in the registry.

    Returns when no replica answers for it any more. Raises MillraceError: status 404 if it is not deployed.
    """
    _ask("DELETE", _deployment(name))


def predict(name: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Ask a deployed model, and return a dict of its outputs for each row.

    A row is a dict (column -> value), or a list in the order of the model's inputs; a DataFrame is rows, too.
    Warns with FallbackWarning when the model's fallback answered in its place; after
    `warnings.simplefilter("error", millrace.FallbackWarning)` it raises that.
    Raises MillraceError: status 404 for a model that is not deployed, 400 for values that do not fit.
    """
    if hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    path = f"/v2/models/{quote(name, safe='')}"
    signature = _ask("GET", path)
    tensors = [_tensor(given, index, rows) for index, given in enumerate(signature["inputs"])]
    _no_surplus(name, [given["name"] for given in signature["inputs"]], rows)
    answer = _ask("POST", f"{path}/infer", json={"inputs": tensors})
    marks = answer.get("parameters") or {}
    if "fallback" in marks:
        which = f"{marks['fallback']}; {marks.get('fallback_reason')}"
        warnings.warn(
            f"the fallback of {name!r} answered in its place ({which})", FallbackWarning, stacklevel=2
        )
    columns = {output["name"]: _by_row(output) for output in answer["outputs"]}
    return [{column: values[row] for column, values in columns.items()} for row in range(len(rows))]


def _tensor(given: dict[str, Any], index: int, rows: Sequence[Row]) -> dict[str, Any]:
    """One input of the V2 request: its values from all rows."""
    column, width = given["name"], math.prod(given["shape"][1:])
    data: list[Any] = []
    for number, row in enumerate(rows):
        try:
            value = row[column] if isinstance(row, Mapping) else row[index]
        except (KeyError, IndexError):
            raise MillraceError(f"row {number} has no value for the column {column!r}") from None
        values = [_plain(v) for v in value] if width > 1 else [_plain(value)]
        if len(values) != width:
            raise MillraceError(f"row {number} has {len(values)} values for {column!r}, which takes {width}")
        odd = [v for v in values if not isinstance(v, _JSON)]
        if odd:
            kind = type(odd[0]).__name__
            raise MillraceError(
                f"row {number} has a {kind} for {column!r}: give text, a number, true, false or null"
            )
        if any(isinstance(v, float) and math.isinf(v) for v in values):
            raise MillraceError(f"row {number} has an infinite value for {column!r}, which JSON cannot write")
        data.extend(values)
    return {
        "name": column,
        "datatype": given["datatype"],
        "shape": [len(rows), *given["shape"][1:]],
        "data": data,
    }


def _no_surplus(name: str, columns: list[str], rows: Sequence[Row]) -> None:
    for number, row in enumerate(rows):
        surplus = sorted(set(row) - set(columns)) if isinstance(row, Mapping) else list(row[len(columns) :])
        if surplus:
            raise MillraceError(f"row {number} has {surplus[0]!r}; {name!r} takes {', '.join(columns)}")


def _plain(value: Any) -> Any:
    """A number of numpy or pandas as Python's own; None for NaN and NA, as models that know them read it."""
    value = value.item() if hasattr(value, "item") else value
    missing = isinstance(value, float) and math.isnan(value)
    # Neither compares as missing, and pandas need not be installed.
    return None if missing or type(value).__name__ in ("NAType", "NaTType") else value


def _by_row(output: dict[str, Any]) -> list[Any]:
    """The values of an output, one a row: a list where a row has several."""
    data, width = output["data"], math.prod(output["shape"][1:])
    if len(output["shape"]) == 1 or output["shape"][1:] == [1]:
        return list(data)
    return [data[start : start + width] for start in range(0, len(data), width)]


def _deployment(name: str) -> str:
    return f"/deployments/{quote(name, safe='')}"


def _newest(name: str) -> str:
    escaped = name.replace("'", "''")
    query = {"filter": f"name='{escaped}'", "order_by": "version_number DESC", "max_results": "1"}
    found = _ask("GET", "/api/2.0/mlflow/model-versions/search", params=query).get("model_versions", [])
    if not found:
        raise MillraceError(f"the registry has no model {name!r}: register it with millrace.log_model", 404)
    return str(found[0]["version"])


def _ask(method: str, path: str, **options: Any) -> Any:
    gateway = os.environ.get("MILLRACE_GATEWAY")
    if not gateway:
        raise MillraceError(
            'MILLRACE_GATEWAY is not set: run `eval "$(millrace env)"` in the shell that starts this Python, '
            "or the notebook server"
        )
    user = os.environ.get("MILLRACE_USER")
    try:
        answer = requests.request(
            method,
            gateway.rstrip("/") + path,
            verify=os.environ.get("MILLRACE_CA") or True,
            auth=(user, os.environ.get("MILLRACE_PASSWORD", "")) if user else None,
            timeout=TIMEOUT,
            **options,
        )
    # Without their causes: four tracebacks of the HTTP client tell no more than the last line of them.
    except requests.exceptions.SSLError as error:
        raise MillraceError(
            f"{gateway} has a certificate that is not trusted: set MILLRACE_CA to the site's CA ({error})"
        ) from None
    except OSError as error:  # requests' own errors are among them
        raise MillraceError(
            f"{gateway} does not answer: is the site up? `millrace status` ({error})"
        ) from None
    if answer.status_code == 401 and user:
        raise MillraceError(
            f"{gateway} refused the login of {user}: is MILLRACE_PASSWORD right? `millrace env` prints both",
            401,
        )
    if answer.status_code == 401:
        raise MillraceError(f"{gateway} wants a login: set MILLRACE_USER and MILLRACE_PASSWORD", 401)
    try:
        content = answer.json()
    except ValueError:
        content = {"error": answer.text[:300]}
    if not answer.ok:
        text = content.get("error") or content.get("message") if isinstance(content, dict) else content
        raise MillraceError(f"{method} {path}: {answer.status_code}: {text}", answer.status_code)
    return content
