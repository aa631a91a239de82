"""Spark's trees as the attributes of ONNX's TreeEnsemble (ai.onnx.ml 5), set splits included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from onnx import numpy_helper

from millrace.models.spark.reader import Stage

LEQ, EQ, MEMBER = 0, 4, 6
Node = dict[str, Any]
#: What a leaf of a tree (number, node) contributes: target and value.
Leaf = Callable[[int, Node], tuple[int, float]]


@dataclass(frozen=True)
class Tree:
    weight: float
    nodes: dict[int, Node]


@dataclass(frozen=True)
class Feature:
    """Where a feature is: a column of TreeEnsemble's input, or whether that column equals `category`."""

    column: int
    category: int | None = None


def read_trees(stage: Stage) -> list[Tree]:
    """The trees of a model in their order; a single tree has weight 1."""
    by_tree: dict[int, dict[int, Node]] = {}
    for row in stage.rows():
        node = row.get("nodeData", row)
        by_tree.setdefault(row.get("treeID", 0), {})[node["id"]] = node
    weights: dict[int, float] = {}
    if (stage.path / "treesMetadata").is_dir():
        # The columns are treeID, metadata, weights; Spark 4.2 calls them _1, _2, _3.
        columns = [list(row.values()) for row in stage.rows("treesMetadata")]
        weights = {number: weight for number, _, weight in columns}
    return [Tree(weights.get(number, 1.0), by_tree[number]) for number in sorted(by_tree)]


@dataclass
class _Attributes:
    """TreeEnsemble's parallel lists. A reference is an index, and 1 for a leaf or 0 for a node."""

    features: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    true: list[tuple[int, int]] = field(default_factory=list)
    false: list[tuple[int, int]] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    members: dict[int, list[float]] = field(default_factory=dict)
    roots: list[int] = field(default_factory=list)

    def branch(self, feature: int, mode: int, split: float, missing: bool = False) -> int:
        self.features.append(feature)
        self.modes.append(mode)
        self.splits.append(split)
        self.missing.append(int(missing))
        self.true.append((0, 0))
        self.false.append((0, 0))
        return len(self.features) - 1

    def leaf(self, target: int, value: float) -> tuple[int, int]:
        self.targets.append(target)
        self.weights.append(value)
        return len(self.targets) - 1, 1


def tree_attributes(trees: Sequence[Tree], features: Sequence[Feature], leaf: Leaf) -> dict[str, Any]:
    """Attributes that make TreeEnsemble sum what `leaf` says for the leaves reached.

    `features` tells for each of Spark's features where it is found.
    """
    out = _Attributes()
    for number, tree in enumerate(trees):
        root, is_leaf = _add(out, tree.nodes, 0, features, partial(leaf, number))
        if is_leaf:  # TreeEnsemble wants a node at the root
            only, root = (root, 1), out.branch(0, LEQ, 0.0)
            out.true[root] = out.false[root] = only
        out.roots.append(root)
    attributes: dict[str, Any] = {
        "nodes_featureids": out.features,
        "nodes_modes": numpy_helper.from_array(np.array(out.modes, np.uint8)),
        "nodes_splits": _doubles(out.splits),
        "nodes_truenodeids": [index for index, _ in out.true],
        "nodes_trueleafs": [kind for _, kind in out.true],
        "nodes_falsenodeids": [index for index, _ in out.false],
        "nodes_falseleafs": [kind for _, kind in out.false],
        "leaf_targetids": out.targets,
        "leaf_weights": _doubles(out.weights),
        "tree_roots": out.roots,
        "aggregate_function": 1,
        "post_transform": 0,
    }
    if any(out.missing):
        attributes["nodes_missing_value_tracks_true"] = out.missing
    if out.members:  # one set after the other in the order of the nodes, each closed by NaN
        sets = [value for node in sorted(out.members) for value in [*out.members[node], np.nan]]
        attributes["membership_values"] = _doubles(sets)
    return attributes


def _add(
    out: _Attributes,
    nodes: dict[int, Node],
    node_id: int,
    features: Sequence[Feature],
    leaf: Callable[[Node], tuple[int, float]],
) -> tuple[int, int]:
    """Add the subtree at a node, and return the reference to it."""
    node = nodes[node_id]
    if node["leftChild"] < 0:
        return out.leaf(*leaf(node))
    split = node["split"]
    feature = features[split["featureIndex"]]
    left, right = node["leftChild"], node["rightChild"]
    values, categories = split["leftCategoriesOrThreshold"], split["numCategories"]
    if feature.category is not None:
        goes_left = [_goes_left(value, values, categories) for value in (0.0, 1.0)]
        if goes_left[0] == goes_left[1]:
            return _add(out, nodes, left if goes_left[0] else right, features, leaf)
        branch = out.branch(feature.column, EQ, float(feature.category))
        yes, no = (left, right) if goes_left[1] else (right, left)
    elif categories == -1:
        # Spark's NaN is greater than any number, and is so for ONNX Runtime unless it is told otherwise.
        branch = out.branch(feature.column, LEQ, values[0], split.get("missingLeft", False))
        yes, no = left, right
    else:
        members, inside_left = _set_split(values, categories)
        yes, no = (left, right) if inside_left else (right, left)
        if not members:
            return _add(out, nodes, no, features, leaf)
        if len(members) == 1:
            branch = out.branch(feature.column, EQ, members[0])
        else:
            branch = out.branch(feature.column, MEMBER, 0.0)
            out.members[branch] = members
    out.true[branch] = _add(out, nodes, yes, features, leaf)
    out.false[branch] = _add(out, nodes, no, features, leaf)
    return branch, 0


def _set_split(left: Sequence[float], categories: int) -> tuple[list[float], bool]:
    """The set that CategoricalSplit tests, and whether its members go left.

    Spark keeps the smaller side. That decides where a category goes that was not seen in training.
    """
    if len(left) <= categories // 2:
        return sorted(left), True
    return sorted(set(map(float, range(categories))) - set(left)), False


def _goes_left(value: float, values: Sequence[float], categories: int) -> bool:
    if categories == -1:
        return bool(value <= values[0])
    members, inside_left = _set_split(values, categories)
    return (value in members) == inside_left


def _doubles(values: Sequence[float]) -> Any:
    return numpy_helper.from_array(np.array(values, np.float64))
