"""Small bundles, quick to make: score = factor * x, label = kind, count passed through."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from millrace.models import Bundle, write_bundle
from millrace.serving.policy import Policy
from millrace.serving.records import Record


def make_bundle(path: Path, factor: float = 2.0, *, wrong: bool = False, missing: bool = False) -> Bundle:
    """`wrong`: its verification rows are not what it computes; `missing`: one of them has no x."""
    column = [None, 1]
    names = {"x": TensorProto.DOUBLE, "kind": TensorProto.STRING, "count": TensorProto.INT64}
    outputs = {"score": TensorProto.DOUBLE, "label": TensorProto.STRING, "number": TensorProto.INT64}
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "factor"], ["score"]),
            helper.make_node("Identity", ["kind"], ["label"]),
            helper.make_node("Identity", ["count"], ["number"]),
        ],
        "tiny",
        [helper.make_tensor_value_info(name, kind, column) for name, kind in names.items()],
        [helper.make_tensor_value_info(name, kind, column) for name, kind in outputs.items()],
        [helper.make_tensor("factor", TensorProto.DOUBLE, [1], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    x = np.array([[1.5], [np.nan if missing else -2.0], [0.25]])
    kind = np.array([["a"], ["b"], ["ü"]], dtype=object)
    count = np.array([[1], [2], [3]])
    return write_bundle(
        path,
        model,
        {"x": x, "kind": kind, "count": count},
        {"score": x * (factor + 1 if wrong else factor), "label": kind, "number": count},
        framework="none",
    )


def record_of(
    bundle: Bundle,
    model: str = "tiny",
    version: str = "1",
    generation: int = 1,
    policy: Policy | None = None,
) -> Record:
    digest = bundle.digest
    return Record(
        model=model, version=version, digest=digest, generation=generation, policy=policy or Policy()
    )
