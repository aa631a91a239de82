"""What is asked of whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from millrace.models import Bundle
from tests.bench.serving.load import Ask

BATCH = 1000
#: What other forests are compared with.
FOREST = "forest: baseline"
_MEASURES = [5.1, 3.5, 1.4, 0.2]


@dataclass(frozen=True)
class Case:
    """`at` is a name of `Stack.urls`, `counted` are names of `Stack.servers`."""

    title: str
    at: str
    counted: Sequence[str]
    ask: Ask


def iris(model: str) -> Ask:
    """One flower in V2 JSON."""
    given = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": _MEASURES}
    return Ask(f"/v2/models/{model}/infer", json.dumps({"inputs": [given]}).encode())


def by_column(bundle: Bundle, name: str) -> dict[str, Ask]:
    """The first verification row of a model with columns, in V2 and in V1."""
    datatypes = {tensor.name: tensor.datatype for tensor in bundle.inputs}
    row: dict[str, Any] = {n: a[0].tolist()[0] for n, a in bundle.verification().inputs.items()}
    inputs = [
        {"name": column, "shape": [1, 1], "datatype": datatypes[column], "data": [value]}
        for column, value in row.items()
    ]
    return {
        "V2": Ask(f"/v2/models/{name}/infer", json.dumps({"inputs": inputs}).encode()),
        "V1": Ask(f"/v1/models/{name}:predict", json.dumps({"instances": [row]}).encode()),
    }


def binary(model: str) -> Ask:
    """A batch of flowers as bytes, to be answered as bytes."""
    rows = np.tile(np.array(_MEASURES, "<f4"), (BATCH, 1)).tobytes()
    given = {"name": "X", "shape": [BATCH, 4], "datatype": "FP32"}
    head = json.dumps(
        {
            "inputs": [{**given, "parameters": {"binary_data_size": len(rows)}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return Ask(f"/v2/models/{model}/infer", head + rows, headers, BATCH)


def cases(models: Path) -> list[Case]:
    """All of them.

    The first is what the others are compared with (forests with `FOREST`), the second the least HTTP costs.
    """
    tree, forest = iris("tree"), iris("forest")
    columns = by_column(Bundle.load(models / "columns"), "columns")
    flights = by_column(Bundle.load(models / "flights"), "flights")
    flask, alone = ("baseline",), ("alone",)
    gateway = ("gateway", "haproxy")
    return [
        Case("baseline: apache2 balances two flasks", "flat", flask, tree),
        Case("nginx, a constant", "nginx", ("nginx",), tree),
        Case("baseline with an apache2 before each flask, too", "chain", flask, tree),
        Case("MLServer", "mlserver", ("mlserver",), tree),
        Case("Millrace, one process without a gateway", "alone", alone, tree),
        Case("Millrace through the gateway", "plain", gateway, tree),
        Case("Millrace through the gateway, TLS to the client", "tls", gateway, tree),
        Case("Millrace through the gateway, which spreads", "spread", gateway, tree),
        Case("Millrace through the gateway, which spreads, TLS to the client", "spread_tls", gateway, tree),
        Case(
            "Millrace through the gateway, TLS to the client and to servers of other hosts",
            "site",
            gateway,
            tree,
        ),
        Case(FOREST, "flat", flask, forest),
        Case("forest: MLServer", "mlserver", ("mlserver",), forest),
        Case("forest: Millrace without a gateway", "alone", alone, forest),
        Case("forest: Millrace through the gateway", "plain", gateway, forest),
        Case("forest: Millrace through the gateway, TLS to the client", "tls", gateway, forest),
        Case("forest: Millrace through the gateway, which spreads", "spread", gateway, forest),
        Case("tree by column, V2", "alone", alone, columns["V2"]),
        Case("tree by column, V1", "alone", alone, columns["V1"]),
        Case("flights (Spark), V2", "alone", alone, flights["V2"]),
        Case("flights (Spark), V1", "alone", alone, flights["V1"]),
        Case("flights (Spark) through the gateway", "plain", gateway, flights["V2"]),
        Case("flights (Spark) through the gateway, TLS to the client", "tls", gateway, flights["V2"]),
        Case(f"tree, {BATCH} rows as binary tensors", "alone", alone, binary("tree")),
    ]
