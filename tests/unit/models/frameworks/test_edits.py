"""What edits of converted models leave alone."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import ModelProto, TensorProto, helper

from millrace.models.frameworks import edits

VOTES = [[0.0, 1.0, 0.0], [0.5, 0.0, 0.25]]


def stump(votes: list[list[float]], **others: Any) -> ModelProto:
    """One tree of two leaves that give each class its weight."""
    classes = len(votes[0])
    tree: dict[str, Any] = {
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_nodeids": [0, 1, 2],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        **{f"nodes_{name}": [0, 0, 0] for name in ("treeids", "featureids")},
        "nodes_values": [0.0, 0.0, 0.0],
        "class_treeids": [0] * classes * 2,
        "class_nodeids": [1] * classes + [2] * classes,
        "class_ids": list(range(classes)) * 2,
        "class_weights": votes[0] + votes[1],
        "classlabels_int64s": list(range(classes)),
    }
    node = helper.make_node(
        "TreeEnsembleClassifier", ["X"], ["label", "p"], domain="ai.onnx.ml", **(tree | others)
    )
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 1])]
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, ["N"])]
    return helper.make_model(helper.make_graph([node], "stump", inputs, outputs))


def weights(model: ModelProto) -> list[float]:
    attributes = {attribute.name: attribute for attribute in model.graph.node[0].attribute}
    lengths = {len(attributes[name].ints) for name in ("class_treeids", "class_nodeids", "class_ids")}
    values = list(attributes["class_weights"].floats)
    assert lengths == {len(values)}
    return values


def test_a_leaf_keeps_the_classes_that_it_votes_for() -> None:
    model = stump(VOTES)
    edits.drop_zeros(model)
    assert weights(model) == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(stump([[1.0, 0.0], [0.0, 1.0]]), id="two classes"),
        pytest.param(stump([[0.5, -1.0, 0.0], [1.0, 0.0, 0.0]]), id="weights below zero"),
        pytest.param(stump([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), id="a leaf without votes"),
        pytest.param(stump(VOTES, base_values=[0.0, 0.0, 9.0]), id="base values"),
        pytest.param(stump(VOTES, post_transform="SOFTMAX"), id="softmax"),
    ],
)
def test_zeros_stay_where_a_class_without_votes_may_win(model: ModelProto) -> None:
    before = weights(model)
    edits.drop_zeros(model)
    assert weights(model) == before
