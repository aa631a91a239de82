"""A small model for tests of bundles: total = a + b, label = whether that is above 10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper

from millrace.models import Bundle, write_bundle


def model() -> ModelProto:
    column = ["N", 1]
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["a", "b"], ["total"]),
            helper.make_node("Greater", ["total", "ten"], ["above"]),
            helper.make_node("Cast", ["above"], ["label"], to=TensorProto.INT64),
        ],
        "arithmetic",
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, column) for name in "ab"],
        [
            helper.make_tensor_value_info("total", TensorProto.DOUBLE, column),
            helper.make_tensor_value_info("label", TensorProto.INT64, column),
        ],
        [helper.make_tensor("ten", TensorProto.DOUBLE, [], [10.0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def rows(count: int = 20) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and right outputs, [count, 1] each."""
    a = np.arange(count, dtype=np.float64)[:, None]
    return {"a": a, "b": a / 7}, {"total": a + a / 7, "label": (a + a / 7 > 10).astype(np.int64)}


def write(path: Path) -> Bundle:
    return write_bundle(path, model(), *rows(), framework="arithmetic")
