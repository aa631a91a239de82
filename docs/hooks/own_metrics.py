"""Metrics of the site's own programs, as their code declares them."""

from __future__ import annotations

import ast
from typing import Any

import sources
from prometheus_client.metrics_core import Metric
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
    """From the source: the program itself needs more than is installed where pages are made."""
    tree = ast.parse((sources.ROOT / "src/millrace/control/app.py").read_text())
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return [
        (
            Metric(ast.literal_eval(call.args[0]), ast.literal_eval(call.args[1]), call.func.id.lower()),
            ast.literal_eval(call.args[2]) if len(call.args) > 2 else [],
        )
        for call in calls
        if call.func.id in ("Counter", "Gauge", "Histogram")  # type: ignore[attr-defined]
    ]
