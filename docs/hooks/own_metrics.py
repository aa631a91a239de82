"""Metrics of the site's own programs, asked of the objects that make them."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from text import code, codes, table

# What a counter and a histogram are called in a query.
ENDINGS = {"counter": "_total", "histogram": "_bucket"}


def own_metrics() -> str:
    """Table of the metrics of prediction servers and of control."""
    return table(
        ["metric", "kind", "labels", "tells", "of"],
        (
            [
                code(metric.name + ENDINGS.get(metric.type, "")),
                metric.type,
                codes(labels),
                metric.documentation,
                service,
            ]
            for service, found in (("prediction", _serving()), ("control", _control()))
            for metric, labels in found
        ),
    )


def _serving() -> list[tuple[Any, list[str]]]:
    from millrace.serving.metrics import ServingMetrics

    return [(metric, list(getattr(metric, "_labelnames", ()))) for metric in ServingMetrics().collect()]


def _control() -> list[tuple[Any, list[str]]]:
    from millrace.control.app import App

    registry = CollectorRegistry()
    App(None, None, registry, "")  # type: ignore[arg-type]
    found = list(registry._collector_to_names)
    return [(collector._get_metric(), list(collector._labelnames)) for collector in found]  # type: ignore[attr-defined]
