"""Services by the names that people use, and the systemd units that they are."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from typing import Any

import yaml

from millrace import project
from millrace.problem import Problem
from millrace.site import Host, Site


@dataclasses.dataclass(frozen=True)
class Service:
    """A service: its unit (a pattern where it has several), other names that people use.

    `job` is its job in Prometheus where that is not its name. Its hosts are in the map of connections.
    """

    name: str
    unit: str
    others: tuple[str, ...] = ()
    about: str = ""
    job: str = ""

    @property
    def group(self) -> str:
        """The group whose hosts run it, or whose first host does."""
        return str(self._entry["group"])

    def hosts(self, site: Site) -> list[Host]:
        """The hosts of a site that run it."""
        return site.members(self.group)[: 1 if self._entry.get("first") else None]

    @property
    def _entry(self) -> Mapping[str, Any]:
        return connections().get(self.name.replace("-", "_"), {"group": "all"})


@functools.cache
def connections() -> Mapping[str, Mapping[str, Any]]:
    """The map of connections, as the playbooks have it. Raises Problem."""
    text = (project.playbooks() / "group_vars/all/services.yml").read_text()
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)["site_services"]
    return found


SERVICES = (
    Service("dns", "named.service", ("bind", "bind9", "named"), "names of the site", "dns_metrics"),
    Service("gateway", "haproxy.service", ("haproxy",), "the only way in", "gateway_metrics"),
    Service("control", "millrace-control.service", (), "deployments"),
    Service("postgresql", "postgresql@*.service", ("postgres",), "MLflow's database", "postgresql_metrics"),
    Service("kafka", "millrace-kafka.service", (), "deployment records", "kafka_metrics"),
    Service("mlflow", "millrace-mlflow.service", ("registry",), "registry and artifacts"),
    Service(
        "spark-master",
        "millrace-spark-master.service",
        ("spark",),
        "Spark's standalone master",
        "spark_master_ui",
    ),
    Service("spark-worker", "millrace-spark-worker.service", (), "Spark workers", "spark_worker_ui"),
    Service(
        "spark-connect", "millrace-spark-connect.service", ("connect",), "Spark Connect", "spark_driver_ui"
    ),
    Service("spark-history", "millrace-spark-history.service", ("history",), "finished Spark applications"),
    Service("prediction", "millrace-prediction@*.service", ("predict", "serving"), "prediction servers"),
    Service("docs", "millrace-docs.service", ("pages", "nginx"), "these pages"),
    Service("prometheus", "prometheus.service", (), "metrics"),
    Service("node-exporter", "prometheus-node-exporter.service", ("node_exporter",), "metrics of a host"),
    Service("sshd", "ssh.service", ("ssh",), "logins"),
)


def find(name: str) -> Service:
    """The service of that name, or of a name that people use for it. Raises Problem with the nearest name."""
    wanted = name.lower().removesuffix(".service").removeprefix("millrace-").replace("_", "-")
    # Alerts name a service by its job.
    names = {n.replace("_", "-"): s for s in SERVICES for n in (s.name, *s.others, s.job or s.name)}
    if wanted in names:
        return names[wanted]
    raise Problem(
        f"There is no service {name}{nearest(wanted, names)} The services: "
        f"{', '.join(s.name for s in SERVICES)}."
    )


def nearest(wanted: str, names: object) -> str:
    """`, did you mean X?` when a known name is near."""
    known = list(names)  # type: ignore[call-overload]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else "."
