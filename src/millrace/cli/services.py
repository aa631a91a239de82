"""Services by the names that people use, and the systemd units that they are."""

from __future__ import annotations

import dataclasses
import difflib

from millrace.problem import Problem


@dataclasses.dataclass(frozen=True)
class Service:
    """A service: the group whose hosts run it, its unit (a pattern where it has several), other names.

    `job` is its job in Prometheus where that is not its name.
    """

    name: str
    group: str
    unit: str
    others: tuple[str, ...] = ()
    about: str = ""
    job: str = ""


SERVICES = (
    Service("dns", "edge", "named.service", ("bind", "bind9", "named"), "names of the site"),
    Service("gateway", "edge", "haproxy.service", ("haproxy",), "the only way in", "gateway_metrics"),
    Service("control", "edge", "millrace-control.service", (), "deployments"),
    Service(
        "postgresql",
        "store",
        "postgresql@*.service",
        ("postgres",),
        "MLflow's database",
        "postgresql_metrics",
    ),
    Service("kafka", "store", "millrace-kafka.service", (), "deployment records", "kafka_metrics"),
    Service("mlflow", "store", "millrace-mlflow.service", ("registry",), "registry and artifacts"),
    Service(
        "spark-master", "train", "millrace-spark-master.service", ("spark",), "Spark's standalone master"
    ),
    Service("spark-worker", "train", "millrace-spark-worker.service", (), "Spark workers", "spark_worker_ui"),
    Service(
        "spark-connect",
        "train",
        "millrace-spark-connect.service",
        ("connect",),
        "Spark Connect",
        "spark_driver_ui",
    ),
    Service(
        "spark-history",
        "train",
        "millrace-spark-history.service",
        ("history",),
        "finished Spark applications",
    ),
    Service(
        "prediction", "serve", "millrace-prediction@*.service", ("predict", "serving"), "prediction servers"
    ),
    Service("docs", "edge", "millrace-docs.service", ("pages", "nginx"), "these pages"),
    Service("prometheus", "observe", "prometheus.service", (), "metrics"),
    Service(
        "node-exporter", "all", "prometheus-node-exporter.service", ("node_exporter",), "metrics of a host"
    ),
    Service("sshd", "all", "ssh.service", ("ssh",), "logins"),
)


def find(name: str) -> Service:
    """The service of that name, or of a name that people use for it. Raises Problem with the nearest name."""
    wanted = name.lower().removesuffix(".service").removeprefix("millrace-").replace("_", "-")
    names = {n.replace("_", "-"): s for s in SERVICES for n in (s.name, *s.others)}
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
