"""Decision trees, random forests and gradient-boosted trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from millrace.models.spark.ensemble import Feature, Leaf, Node, Tree, read_trees, tree_attributes
from millrace.models.spark.flow import Flow
from millrace.models.spark.graph import ML
from millrace.models.spark.linear import binary_outputs
from millrace.models.spark.reader import Stage

#: Adds a TreeEnsemble with a number of targets: [N, targets].
Ensemble = Callable[[Leaf, int], str]


def gbt_classifier(stage: Stage, flow: Flow) -> None:
    """GBTClassificationModel (binary)."""
    stage.refuse("thresholds")
    trees = _trees(stage)
    margin = _ensemble(stage, flow, trees)(_weighted(trees), 1)
    binary_outputs(stage, flow, margin, scale=2.0)


def gbt_regressor(stage: Stage, flow: Flow) -> None:
    """GBTRegressionModel."""
    trees = _trees(stage)
    flow.predict(stage, "predictionCol", _ensemble(stage, flow, trees)(_weighted(trees), 1))


def tree_regressor(stage: Stage, flow: Flow) -> None:
    """DecisionTreeRegressionModel."""
    stage.refuse("varianceCol")
    gbt_regressor(stage, flow)


def forest_regressor(stage: Stage, flow: Flow) -> None:
    """RandomForestRegressionModel: the mean of the trees."""
    trees = _trees(stage)
    total = _ensemble(stage, flow, trees)(lambda _, node: (0, node["prediction"]), 1)
    mean = flow.graph.op("Div", total, flow.graph.constant(float(len(trees))))
    flow.predict(stage, "predictionCol", mean)


def tree_classifier(stage: Stage, flow: Flow) -> None:
    """DecisionTreeClassificationModel: the class counts of the leaf reached."""
    stage.refuse("thresholds")
    trees = _trees(stage)
    _vote(stage, flow, _leaf_rows(stage, flow, trees, _counts))


def forest_classifier(stage: Stage, flow: Flow) -> None:
    """RandomForestClassificationModel: the sum of the class shares of the leaves reached."""
    stage.refuse("thresholds")
    trees = _trees(stage)
    if int(stage.metadata["numClasses"]) != 2:
        _vote(stage, flow, _leaf_rows(stage, flow, trees, _shares))
        return
    # With two classes one sum is enough: the other is its complement, and one look-up a row is saved.
    graph = flow.graph
    one = _ensemble(stage, flow, trees)(lambda _, node: (0, float(_shares(node)[1])), 1)
    zero = graph.op("Sub", graph.constant(float(len(trees))), one)
    _vote(stage, flow, graph.op("Concat", zero, one, axis=1))


def _vote(stage: Stage, flow: Flow, votes: str) -> None:
    graph, classes = flow.graph, int(stage.metadata["numClasses"])
    total = graph.op("ReduceSum", votes, graph.shape(1), keepdims=1)
    flow.predict(stage, "rawPredictionCol", votes, classes)
    flow.predict(stage, "probabilityCol", graph.op("Div", votes, total), classes)
    flow.label(stage, votes)


def _leaf_rows(stage: Stage, flow: Flow, trees: list[Tree], row: Callable[[Node], np.ndarray]) -> str:
    """The sum over the trees of `row` of the leaf reached, [N, classes].

    A leaf of TreeEnsemble adds to one target only. So each tree reports the number of its leaf, and the rows
    are looked up.
    """
    graph, table = flow.graph, []

    def leaf(tree: int, node: Node) -> tuple[int, float]:
        table.append(row(node))
        return tree, float(len(table) - 1)

    numbers = graph.to_int64(_ensemble(stage, flow, trees)(leaf, len(trees)))
    rows = graph.op("Gather", graph.constant(np.array(table)), numbers)
    return graph.op("ReduceSum", rows, graph.shape(1), keepdims=0)


def _ensemble(stage: Stage, flow: Flow, trees: list[Tree]) -> Ensemble:
    """How to add a TreeEnsemble over the stage's features.

    Where a one-hot vector goes into the features, the trees test the index it was made of.
    """
    vector = flow.vector(stage, stage.params["featuresCol"], int(stage.metadata["numFeatures"]))
    if vector.positions is None:
        value = vector.build()
        features = [Feature(column) for column in range(vector.width)]
    else:
        columns = list(dict.fromkeys(position.value for position in vector.positions))
        value = flow.graph.op("Concat", *columns, axis=1)
        features = [Feature(columns.index(p.value), p.category) for p in vector.positions]

    def add(leaf: Leaf, targets: int) -> str:
        attributes: dict[str, Any] = tree_attributes(trees, features, leaf)
        return flow.graph.op("TreeEnsemble", value, domain=ML, n_targets=targets, **attributes)

    return add


def _trees(stage: Stage) -> list[Tree]:
    stage.refuse("leafCol")
    return read_trees(stage)


def _weighted(trees: list[Tree]) -> Leaf:
    return lambda number, node: (0, node["prediction"] * trees[number].weight)


def _counts(node: Node) -> np.ndarray:
    return np.array(node["impurityStats"], np.float64)


def _shares(node: Node) -> np.ndarray:
    counts = _counts(node)
    total = counts.sum()
    return counts / total if total else counts
