"""Questions to a site through its gateway: deployments, metrics, health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from millrace.problem import Problem
from millrace.site import Site

PATIENCE = 10.0


class Gateway:
    """A session with a site's gateway as its first operator. Raises Problem when it does not answer."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._session = requests.Session()
        # A proxy or CA bundle of this machine is not the site's.
        self._session.trust_env = False
        self._session.verify = site.ca
        self._session.auth = site.user()

    def get(
        self, path: str, name: str | None = None, query: Mapping[str, str] | None = None
    ) -> requests.Response:
        """GET a path; `name` is a service's in the zone (`prometheus`), None for what any answers."""
        headers = {"Host": f"{name}.{self.site.domain}"} if name else {}
        try:
            return self._session.get(
                f"{self.site.url}{path}", headers=headers, params=query, timeout=PATIENCE
            )
        except (requests.RequestException, OSError) as error:
            reason = type(error).__name__
            raise Problem(
                f"The gateway of site {self.site.name} does not answer at {self.site.url} ({reason}): "
                "`millrace status` shows which host or unit is down."
            ) from error

    def json(self, path: str, name: str | None = None, query: Mapping[str, str] | None = None) -> Any:
        """The JSON at a path; None for 404. Raises Problem for any other error."""
        answer = self.get(path, name, query)
        if answer.status_code == 404:
            return None
        if not answer.ok:
            raise Problem(f"{self.site.url}{path} answers {answer.status_code}: {answer.text.strip()[:200]}")
        return answer.json()

    def metrics(self, query: str) -> list[tuple[dict[str, str], float]]:
        """What Prometheus answers to a query: labels and value of each series."""
        answer = self.json("/api/v1/query", "prometheus", {"query": query}) or {"data": {"result": []}}
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    def deployment(self, model: str) -> dict[str, Any] | None:
        """The deployment record of a model, None when it is not deployed."""
        return self.json(f"/deployments/{model}")

    def newest_version(self, model: str) -> str | None:
        """The newest version of a model in the registry."""
        query = {"filter": f"name='{model}'", "order_by": "version_number DESC", "max_results": "1"}
        found = self.json("/api/2.0/mlflow/model-versions/search", query=query) or {}
        versions = found.get("model_versions") or []
        return str(versions[0]["version"]) if versions else None

    def trouble(self) -> str | None:
        """What is wrong with the site as its gateway and Prometheus see it, None when nothing is."""
        try:
            ready = self.get("/v2/health/ready")
            if not ready.ok:
                return f"/v2/health/ready answers {ready.status_code}"
            down = [labels for labels, value in self.metrics("up") if value != 1]
            if down:
                return f"{down[0].get('job')} at {down[0].get('instance')} is down"
            if self.get("/health", "registry").status_code != 200:
                return "the registry does not answer"
        except Problem as problem:
            return str(problem)
        return None
