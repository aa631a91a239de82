"""What is changed in the ONNX models that converters write, so that they are asked as the framework is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, helper

from millrace.models.tensors import datatype_of

# Not TreeEnsemble: histogram trees are written with it, and compare doubles.
_TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
# Parallel attributes with an entry for each leaf and class, and the field of each that has its values.
_VOTES = {"class_treeids": "ints", "class_nodeids": "ints", "class_ids": "ints", "class_weights": "floats"}
ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "INT64": TensorProto.INT64,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def open_rows(model: ModelProto) -> None:
    """Let every input and output have any number of rows: converters declare some outputs as of one row."""
    for value in (*model.graph.input, *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions:
            dimensions[0].Clear()
            dimensions[0].dim_param = "N"


def rename_outputs(model: ModelProto, names: Sequence[str]) -> None:
    """Give the outputs these names, in order; those beyond them are dropped."""
    outputs = list(model.graph.output)[: len(names)]
    taken = {value for node in model.graph.node for value in (*node.input, *node.output)}
    for output, name in zip(outputs, names, strict=True):
        if output.name == name:
            continue
        old, output.name = output.name, name
        if name in taken:
            _rename(model, name, f"/{name}_inside")
        model.graph.node.append(helper.make_node("Identity", [old], [name]))
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def rename_inputs(model: ModelProto, names: Sequence[str]) -> None:
    """Give the inputs these names, in order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    for value, name in zip(inputs, names, strict=True):
        if value.name != name:
            _rename(model, value.name, name)
            value.name = name


def floats_into_trees(model: ModelProto) -> None:
    """Round what trees compare to 32 bits, as scikit-learn's trees do; their outputs are of 32 bits."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    results = set()
    for number, node in enumerate(nodes):
        if node.domain == "ai.onnx.ml" and node.op_type in _TREES:
            rounded = f"/rounded_{number}"
            model.graph.node.append(
                helper.make_node("Cast", [node.input[0]], [rounded], to=TensorProto.FLOAT)
            )
            node.input[0] = rounded
            results.update(node.output)
        elif node.op_type == "Identity" and node.input[0] in results:
            results.update(node.output)
        model.graph.node.append(node)
    for output in model.graph.output:
        # skl2onnx declares what it was given, doubles.
        if output.name in results and output.type.tensor_type.elem_type == TensorProto.DOUBLE:
            output.type.tensor_type.elem_type = TensorProto.FLOAT


def drop_zeros(model: ModelProto) -> None:
    """Take the zeros out of the leaves of forests that vote among three or more classes.

    skl2onnx gives each leaf a weight for every class, zero for those that no training row of the leaf had.
    They change no sum, but fill most of the memory that a prediction reads. With two classes they stay: ONNX
    Runtime reads a row without a vote for the second as a single binary score. They stay, too, where a class
    without votes can win: with weights below zero, base values, or a function of the sums.
    """
    for node in model.graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type == "TreeEnsembleClassifier":
            _drop_zeros({attribute.name: attribute for attribute in node.attribute})


def _drop_zeros(attributes: Mapping[str, AttributeProto]) -> None:
    votes = {name: attributes[name] for name in _VOTES if name in attributes}
    transform = attributes["post_transform"].s if "post_transform" in attributes else b"NONE"
    if len(votes) < len(_VOTES) or "base_values" in attributes or transform != b"NONE":
        return
    weights = np.array(votes["class_weights"].floats, np.float32)
    leaves = np.array([votes["class_treeids"].ints, votes["class_nodeids"].ints])
    kept = np.flatnonzero(weights > 0)
    voting = np.unique(leaves[:, kept], axis=1)
    all_vote = voting.shape == np.unique(leaves, axis=1).shape
    if len(set(votes["class_ids"].ints)) < 3 or weights.min() < 0 or not all_vote:
        return
    for name, field in _VOTES.items():
        values = getattr(votes[name], field)
        left = np.array(values)[kept].tolist()
        del values[:]
        values.extend(left)


def join_columns(model: ModelProto, columns: Mapping[str, np.ndarray]) -> None:
    """Replace the only input, a matrix, by a column [N, 1] for each of `columns`, in their order."""
    matrix = model.graph.input[0]
    element = matrix.type.tensor_type.elem_type
    joined = f"/joined_{matrix.name}"
    _rename(model, matrix.name, joined)
    nodes = []
    for number, (name, array) in enumerate(columns.items()):
        if ELEMENTS[datatype_of(array)] == element:
            nodes.append(helper.make_node("Identity", [name], [f"/column_{number}"]))
        else:
            nodes.append(helper.make_node("Cast", [name], [f"/column_{number}"], to=element))
    parts = [node.output[0] for node in nodes]
    nodes.append(helper.make_node("Concat", parts, [joined], axis=1))
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    del model.graph.input[:]
    model.graph.input.extend(
        helper.make_tensor_value_info(name, ELEMENTS[datatype_of(array)], ["N", array.shape[1]])
        for name, array in columns.items()
    )


def _rename(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if value == old else value for value in node.input]
        node.output[:] = [new if value == old else value for value in node.output]
