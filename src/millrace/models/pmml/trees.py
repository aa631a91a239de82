"""TreeModel: nodes whose first child with a true predicate is taken, as splits of two branches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.models.pmml.document import Element
from millrace.models.pmml.errors import InvalidDocument, UnsupportedElement
from millrace.models.pmml.fields import Columns
from millrace.models.spark.ensemble import Feature, Node, Tree, tree_attributes
from millrace.models.spark.graph import ML

# More than any field has values: the set that is written is the set that is tested.
_CATEGORIES = 1 << 40
_PREDICATES = ("True", "False", "SimplePredicate", "SimpleSetPredicate", "CompoundPredicate")
_NEVER_MISSING = ("none", "nullPrediction")


@dataclass(frozen=True)
class Test:
    """A predicate: whether a field is at most a bound, or among some values; or the opposite."""

    field: str
    values: list[float]
    categories: int
    negated: bool


@dataclass
class Forest:
    """Trees over the fields that they test. A leaf keeps the element that scores it, or None."""

    columns: Columns
    trees: list[Tree] = field(default_factory=list)
    features: list[str] = field(default_factory=list)

    def add(self, model: Element) -> None:
        """Add a TreeModel. Raises UnsupportedElement."""
        model.choice("missingValueStrategy", *_NEVER_MISSING)
        model.choice("splitCharacteristic", "multiSplit", "binarySplit")
        last = model.choice("noTrueChildStrategy", "returnNullPrediction", "returnLastPrediction")
        root = model.one("Node")
        if _predicate(root).name != "True":
            raise UnsupportedElement("the root Node of a TreeModel with a predicate")
        nodes: dict[int, Node] = {}
        self._node(nodes, root, last == "returnLastPrediction")
        self.trees.append(Tree(1.0, nodes))

    def sums(self, leaf: Callable[[int, Element | None], tuple[int, float]], targets: int) -> str:
        """[N, targets]: for each, the sum of what `leaf` says of the leaves reached by tree number."""
        graph = self.columns.graph
        # A tree without a split still needs rows to be counted.
        used = self.features or [next(iter(self.columns.inputs), "")]
        if not used[0]:
            raise UnsupportedElement("a model that tests no field")
        values = [self.columns.value(name, "a predicate") for name in used]
        matrix = graph.op("Concat", *values, axis=1)
        attributes: dict[str, Any] = tree_attributes(
            self.trees,
            [Feature(position) for position in range(len(used))],
            lambda number, node: leaf(number, node["element"]),
        )
        return graph.op("TreeEnsemble", matrix, domain=ML, n_targets=targets, **attributes)

    def rows(self, row: Callable[[int, Element | None], np.ndarray]) -> str:
        """[N, width]: the sum of what `row` says of the leaves reached by tree number."""
        graph, table = self.columns.graph, []

        def leaf(number: int, element: Element | None) -> tuple[int, float]:
            table.append(row(number, element))
            return number, float(len(table) - 1)

        # A leaf of TreeEnsemble adds to one target only, so each tree tells the number of its leaf.
        places = graph.to_int64(self.sums(leaf, len(self.trees)))
        found = graph.op("Gather", graph.constant(np.array(table)), places)
        return graph.op("ReduceSum", found, graph.shape(1), keepdims=0)

    def _node(self, nodes: dict[int, Node], element: Element, last: bool) -> int:
        children = element.all("Node")
        element.only("Node", "ScoreDistribution", *_PREDICATES)
        if not children:
            return _leaf(nodes, element)
        return self._choice(nodes, element, children, last)

    def _choice(self, nodes: dict[int, Node], parent: Element, children: list[Element], last: bool) -> int:
        """The first of `children` whose predicate is true; none of them: the parent's score, or no answer."""
        if not children:
            return _leaf(nodes, parent if last else None)
        child, predicate = children[0], _predicate(children[0])
        if predicate.name == "True":
            return self._node(nodes, child, last)
        if predicate.name == "False":
            return self._choice(nodes, parent, children[1:], last)
        test = self._test(predicate)
        number = _reserve(nodes)
        yes = self._node(nodes, child, last)
        no = self._choice(nodes, parent, children[1:], last)
        nodes[number] = {
            "leftChild": no if test.negated else yes,
            "rightChild": yes if test.negated else no,
            "split": {
                "featureIndex": self._feature(test.field),
                "leftCategoriesOrThreshold": test.values,
                "numCategories": test.categories,
            },
        }
        return number

    def _feature(self, name: str) -> int:
        if name not in self.features:
            self.features.append(name)
        return self.features.index(name)

    def _test(self, predicate: Element) -> Test:
        """Raises UnsupportedElement for a predicate that is not of one field."""
        columns, kind = self.columns, predicate.name
        if kind == "CompoundPredicate":
            operator = predicate.get("booleanOperator")
            raise UnsupportedElement(f"CompoundPredicate with booleanOperator={operator!r}")
        name = predicate.get("field")
        text = columns.field(name, kind).text
        if kind == "SimpleSetPredicate":
            words = predicate.one("Array").words()
            values = sorted({columns.code(name, word, kind) for word in words})
            negated = predicate.choice("booleanOperator", "isIn", "isNotIn") == "isNotIn"
            return Test(name, values, _CATEGORIES, negated)
        operator = predicate.choice(
            "operator", "equal", "notEqual", "lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual"
        )
        value = columns.code(name, predicate.get("value"), kind)
        if operator in ("equal", "notEqual"):
            return Test(name, [value], _CATEGORIES, operator == "notEqual")
        if text:
            raise UnsupportedElement(f"SimplePredicate with {operator} on the text {name!r}")
        # Below a bound is at most the next number below it.
        if operator in ("lessThan", "greaterOrEqual"):
            value = math.nextafter(value, -math.inf)
        return Test(name, [value], -1, operator.startswith("greater"))


def distribution(element: Element | None, classes: list[str]) -> np.ndarray:
    """Probabilities [classes] of a leaf: as declared, or shares of record counts; NaN for no answer."""
    if element is None:
        return np.full(len(classes), np.nan)
    shares = np.zeros(len(classes))
    scores = element.all("ScoreDistribution")
    if not scores:
        if element.get("score") not in classes:
            raise InvalidDocument(f"a Node scores {element.get('score')!r}, which is no class")
        shares[classes.index(element.get("score"))] = 1.0
        return shares
    declared = all(score.has("probability") for score in scores)
    for score in scores:
        if score.get("value") not in classes:
            raise InvalidDocument(f"a ScoreDistribution has {score.get('value')!r}, which is no class")
        place = classes.index(score.get("value"))
        shares[place] = score.number("probability" if declared else "recordCount")
    return shares if declared else shares / shares.sum()


def number(element: Element | None) -> float:
    """The score of a regression's leaf; NaN for no answer."""
    return math.nan if element is None else element.number("score")


def _predicate(node: Element) -> Element:
    found = node.first(*_PREDICATES)
    if found is None:
        raise InvalidDocument("a Node has no predicate")
    return found


def _leaf(nodes: dict[int, Node], element: Element | None) -> int:
    number = _reserve(nodes)
    nodes[number] = {"leftChild": -1, "rightChild": -1, "element": element}
    return number


def _reserve(nodes: dict[int, Node]) -> int:
    nodes[len(nodes)] = {}
    return len(nodes) - 1
