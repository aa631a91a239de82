"""Builds an ONNX graph node by node, in doubles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

ML = "ai.onnx.ml"
# Pinned: what ONNX Runtime 1.23.2 and later computes exactly. TreeEnsemble came with ai.onnx.ml 5.
OPSET, ML_OPSET, IR_VERSION = 17, 5, 9


class Graph:
    """Nodes and constants. Values are referred to by their names."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._known: dict[tuple[Any, ...], str] = {}

    def constant(self, values: Any) -> str:
        """A constant; equal ones are stored once. Python numbers become doubles."""
        array = np.asarray(values)
        if not isinstance(values, np.ndarray):
            array = array.astype(np.float64)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = self._known[key] = f"/constant_{len(self._constants)}"
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return self._known[key]

    def shape(self, *sizes: int) -> str:
        """A constant of int64, as Reshape and the reductions want it."""
        return self.constant(np.array(sizes, np.int64))

    def op(
        self, op_type: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """Append a node with one output and return the output's name."""
        output = output or f"/{op_type}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op_type, inputs, [output], domain=domain, **attributes))
        return output

    def to_double(self, value: str) -> str:
        return self.op("Cast", value, to=TensorProto.DOUBLE)

    def to_int64(self, value: str) -> str:
        return self.op("Cast", value, to=TensorProto.INT64)

    def model(self, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]) -> ModelProto:
        """The checked model with what its outputs need, and nothing else."""
        needed, nodes = {o.name for o in outputs}, []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        graph = helper.make_graph(
            nodes[::-1],
            "pipeline",
            [i for i in inputs if i.name in needed],
            outputs,
            [tensor for name, tensor in self._constants.items() if name in needed],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
            ir_version=IR_VERSION,
            producer_name="millrace",
        )
        checker.check_model(model)
        return model
