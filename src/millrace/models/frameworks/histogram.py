"""scikit-learn's histogram gradient boosting, converted in doubles.

skl2onnx's own converter gives onnx truth values for integers, which is refused; it would round thresholds to
32 bits, too, and read splits of categories as thresholds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from millrace.models.frameworks.errors import CannotBundle
from millrace.models.frameworks.extras import need
from millrace.models.spark.ensemble import Feature, Node, Tree, tree_attributes
from millrace.models.spark.graph import IR_VERSION, ML, ML_OPSET

# More than any column has categories: the set that is written is the set that is tested.
_MANY = 1 << 40


def converters() -> dict[type, Any]:
    """What skl2onnx is to convert with, by class of the estimator."""
    (ensemble,) = need("sklearn", "Bundling", "sklearn.ensemble")
    return {
        ensemble.HistGradientBoostingClassifier: _classifier,
        ensemble.HistGradientBoostingRegressor: _regressor,
    }


def inside(model: Any) -> list[Any]:
    """The fitted histogram gradient boosting in an estimator: itself, its steps, its members."""
    kinds, found, waiting, seen = tuple(converters()), [], [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, kinds):
            found += [part] if hasattr(part, "_predictors") else []
        elif isinstance(part, (list, tuple)):
            waiting.extend(part)
        elif hasattr(part, "get_params"):
            waiting.extend(vars(part).values())
    return found


def refuse_categories(model: Any) -> None:
    """Raise CannotBundle if histogram gradient boosting in `model` has categories that are not whole numbers.

    ONNX Runtime tests membership for numbers of 32 bits alone.
    """
    for part in inside(model):
        for position, values in _categories(part).items():
            if values.dtype.kind in "iufb" and np.array_equal(values, values.astype(np.int32)):
                continue
            names = getattr(part, "feature_names_in_", None)
            column = f"column {position}" if names is None else f"column {names[position]!r}"
            raise CannotBundle(
                f"{type(part).__name__} was fitted with {column} as categories that are not whole numbers "
                "of 32 bits: number them before it, by an OrdinalEncoder in a ColumnTransformer, and give "
                "their positions as categorical_features"
            )


class _Adder:
    """Adds nodes with one output, and constants, to the graph that skl2onnx builds."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def __call__(
        self, op_type: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """The name of the output."""
        output = output or self._scope.get_unique_variable_name(op_type)
        self._container.add_node(
            op_type,
            list(inputs),
            [output],
            op_domain=domain,
            # skl2onnx knows no later one: declare_opset tells the true one.
            op_version=3 if domain == ML else None,
            name=self._scope.get_unique_operator_name(op_type),
            **attributes,
        )
        return output

    def constant(self, kind: int, values: list[Any]) -> str:
        """A constant [len(values)] of an element type of TensorProto."""
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, kind, [len(values)], values)
        return name


def declare_opset(model: ModelProto) -> None:
    """Declare the operators that TreeEnsemble came with, where it is used.

    Raises CannotBundle where other trees are used, too: their operators were taken away with those.
    """
    trees = {node.op_type for node in model.graph.node if node.domain == ML and "Tree" in node.op_type}
    if "TreeEnsemble" in trees:
        if len(trees) > 1:
            raise CannotBundle(
                "histogram gradient boosting and trees of another kind in one model are not converted: a "
                "Python bundle holds any model, see `millrace bundle --help`"
            )
        model.ir_version = max(model.ir_version, IR_VERSION)
        for opset in model.opset_import:
            if opset.domain == ML:
                opset.version = ML_OPSET


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    model, add = operator.raw_operator, _Adder(scope, container)
    raw = _raw(add, operator)
    if model.n_trees_per_iteration_ == 1:
        second = add("Sigmoid", raw)
        first = add("Sub", add.constant(TensorProto.DOUBLE, [1.0]), second)
        probabilities = add("Concat", first, second, axis=1)
        above = add("Greater", raw, add.constant(TensorProto.DOUBLE, [0.0]))
        place = add("Cast", above, to=TensorProto.INT64)
        place = add("Reshape", place, add.constant(TensorProto.INT64, [-1]))
    else:
        probabilities = add("Softmax", raw, axis=1)
        place = add("ArgMax", raw, axis=1, keepdims=0)
    if model.classes_.dtype.kind in "OU":
        labels = add.constant(TensorProto.STRING, [str(label).encode() for label in model.classes_])
    else:
        labels = add.constant(TensorProto.INT64, [int(label) for label in model.classes_])
    add("Gather", labels, place, output=operator.outputs[0].full_name)
    _give(add, probabilities, operator.outputs[1])


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    model, add = operator.raw_operator, _Adder(scope, container)
    raw, link = _raw(add, operator), type(model._loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise CannotBundle(f"HistGradientBoostingRegressor with the loss {model.loss!r} is not converted")
    _give(add, add("Exp", raw) if link == "LogLink" else raw, operator.outputs[0])


def _give(add: _Adder, value: str, output: Any) -> None:
    """Write doubles to an output in the type that skl2onnx declares: floats where floats or integers came."""
    doubles = type(output.type).__name__ == "DoubleTensorType"
    add("Cast", value, output=output.full_name, to=TensorProto.DOUBLE if doubles else TensorProto.FLOAT)


def _raw(add: _Adder, operator: Any) -> str:
    """What the trees sum up to, doubles [N, trees of an iteration], added in scikit-learn's order."""
    model = operator.raw_operator
    # Categories come first where scikit-learn's trees look, so each column has its place in the input.
    order, categories = list(range(model.n_features_in_)), _categories(model)
    if model.is_categorical_ is not None:
        order = [*np.flatnonzero(model.is_categorical_), *np.flatnonzero(~model.is_categorical_)]
    targets, trees = [], []
    for target, base in enumerate(model._baseline_prediction.ravel().tolist()):
        targets.append(target)
        trees.append(Tree(1.0, {0: {"leftChild": -1, "value": base}}))
    for iteration in model._predictors:
        for target, tree in enumerate(iteration):
            targets.append(target)
            trees.append(Tree(1.0, _nodes(tree, order, categories)))
    attributes = tree_attributes(
        trees,
        [Feature(column) for column in range(model.n_features_in_)],
        lambda number, node: (targets[number], node["value"]),
    )
    rows = add("Cast", operator.inputs[0].full_name, to=TensorProto.DOUBLE)
    if categories:
        # ONNX Runtime drops fractions before it looks among whole numbers; to scikit-learn 1.5 is missing.
        taken = add("Equal", add("Floor", rows), rows)
        free = [column not in categories for column in range(model.n_features_in_)]
        taken = add("Or", taken, add.constant(TensorProto.BOOL, free))
        rows = add("Where", taken, rows, add.constant(TensorProto.DOUBLE, [np.nan]))
    return add("TreeEnsemble", rows, domain=ML, n_targets=model.n_trees_per_iteration_, **attributes)


def _nodes(tree: Any, order: list[int], categories: dict[int, np.ndarray]) -> dict[int, Node]:
    nodes: dict[int, Node] = {}
    for number, node in enumerate(tree.nodes):
        if node["is_leaf"]:
            nodes[number] = {"leftChild": -1, "value": float(node["value"])}
            continue
        column = int(order[node["feature_idx"]])
        left, right = int(node["left"]), int(node["right"])
        missing_left = bool(node["missing_go_to_left"])
        split: dict[str, Any] = {"featureIndex": column}
        if node["is_categorical"]:
            # A category that is not known goes where missing values go: the set is that of the other side.
            chosen = _chosen(tree.raw_left_cat_bitsets[node["bitset_idx"]], len(categories[column]))
            members = categories[column][chosen != missing_left].astype(np.float64)
            if missing_left:
                left, right = right, left
            split |= {"leftCategoriesOrThreshold": members.tolist(), "numCategories": _MANY}
        else:
            threshold = float(node["num_threshold"])
            split |= {"leftCategoriesOrThreshold": [threshold], "numCategories": -1}
            split["missingLeft"] = missing_left
        nodes[number] = {"leftChild": left, "rightChild": right, "split": split}
    return nodes


def _chosen(bits: np.ndarray, count: int) -> np.ndarray:
    """Which of the first `count` bits, of 32 a word, are set."""
    places = np.arange(count)
    return (bits[places // 32] >> (places % 32).astype(np.uint32)) & 1 == 1


def _categories(model: Any) -> dict[int, np.ndarray]:
    """The categories in the order of their numbers, by the column of the input, without a missing one."""
    if model.is_categorical_ is None:
        return {}
    known = model._preprocessor.named_transformers_["encoder"].categories_
    columns = np.flatnonzero(model.is_categorical_).tolist()
    return {column: values[values == values] for column, values in zip(columns, known, strict=True)}
