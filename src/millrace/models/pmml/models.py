"""What models compute: numbers [N, 1], or probabilities [N, classes] with the best class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from millrace.models.pmml.document import Element
from millrace.models.pmml.errors import InvalidDocument, UnsupportedElement
from millrace.models.pmml.fields import Columns
from millrace.models.pmml.trees import Forest, distribution, number

MODELS = ("TreeModel", "RegressionModel", "MiningModel")
_PARTS = ("MiningSchema", "Output", "ModelStats", "ModelExplanation", "Targets", "ModelVerification")
#: Names of ONNX values that earlier segments of a chain have put out: [N, 1] each.
Chained = dict[str, str]


@dataclass(frozen=True)
class Result:
    """`number` [N, 1] of a regression; or `probabilities` [N, classes] and `best` [N], a class's place."""

    number: str | None = None
    probabilities: str | None = None
    best: str | None = None


def compute(model: Element, columns: Columns, classes: Sequence[str], chained: Chained) -> Result:
    """A model's result. Raises UnsupportedElement, InvalidDocument."""
    if model.get("isScorable", "true") == "false":
        raise UnsupportedElement(f"{model.name} with isScorable='false'")
    model.choice("x-mathContext", "double", "float")
    if model.name == "TreeModel":
        model.only("Node", *_PARTS)
        return _trees([model], "average", [1.0], _classifies(model), columns, list(classes))
    if model.name == "RegressionModel":
        model.only("RegressionTable", *_PARTS)
        return _regression(model, columns, list(classes), chained)
    if model.name == "MiningModel":
        model.only("Segmentation", *_PARTS)
        return _segments(model, columns, list(classes), chained)
    raise UnsupportedElement(model.name)


def _classifies(model: Element) -> bool:
    return model.choice("functionName", "regression", "classification") == "classification"


def _segments(model: Element, columns: Columns, classes: list[str], chained: Chained) -> Result:
    segmentation = model.one("Segmentation")
    segmentation.only("Segment")
    segmentation.choice("missingPredictionTreatment", "continue", "returnMissing")
    segmentation.refuse("missingThreshold")
    how = segmentation.get("multipleModelMethod")
    segments = segmentation.all("Segment")
    for segment in segments:
        segment.only("True", *MODELS)
        if segment.first("True") is None:
            raise UnsupportedElement("Segment with a predicate other than True")
    models = [segment.one(*MODELS) for segment in segments]
    if how == "modelChain":
        return _chain(models, columns, classes, dict(chained))
    weights = [segment.number("weight", 1.0) for segment in segments]
    if any(each.name != "TreeModel" for each in models):
        raise UnsupportedElement(f"MiningModel of {how!r} with segments other than TreeModel")
    for each in models:
        each.only("Node", *_PARTS)
        if each.first("Targets") is not None:
            raise UnsupportedElement("Targets in a Segment")
    return _trees(models, how, weights, _classifies(model), columns, classes)


def _trees(
    models: list[Element],
    how: str,
    weights: list[float],
    classifies: bool,
    columns: Columns,
    classes: list[str],
) -> Result:
    forest = Forest(columns)
    for model in models:
        forest.add(model)
    return _votes(forest, how, weights, classes) if classifies else _total(forest, how, weights)


def _total(forest: Forest, how: str, weights: list[float]) -> Result:
    methods = ("sum", "weightedSum", "x-weightedSum", "average", "weightedAverage")
    if how not in methods:
        raise UnsupportedElement(f"Segmentation with multipleModelMethod={how!r}", "of regressions")
    factors = weights if how.lower().removeprefix("x-").startswith("weighted") else [1.0] * len(weights)
    columns, graph = forest.columns, forest.columns.graph
    total = forest.sums(lambda tree, element: (0, factors[tree] * number(element)), 1)
    if how.lower().endswith("average"):
        total = graph.op("Div", total, graph.constant(float(sum(factors))))
    columns.note_invalid(graph.op("IsNaN", total))
    return Result(number=total)


def _votes(forest: Forest, how: str, weights: list[float], classes: list[str]) -> Result:
    graph, single = forest.columns.graph, len(forest.trees) == 1
    factors = weights if how.startswith("weighted") else [1.0] * len(weights)
    if how in ("average", "weightedAverage"):
        total = forest.rows(lambda tree, element: factors[tree] * _scores(element, classes, single))
    elif how in ("majorityVote", "weightedMajorityVote"):
        total = forest.rows(lambda tree, element: factors[tree] * _winner(element, classes))
    else:
        raise UnsupportedElement(f"Segmentation with multipleModelMethod={how!r}", "of classifications")
    if sum(factors) != 1.0:
        total = graph.op("Div", total, graph.constant(float(sum(factors))))
    votes = total
    if single and "average" in how.lower():
        places = np.arange(2 * len(classes), dtype=np.int64)
        votes = graph.op("Gather", total, graph.constant(places[len(classes) :]), axis=1)
        total = graph.op("Gather", total, graph.constant(places[: len(classes)]), axis=1)
    best = graph.op("ArgMax", votes, axis=1, keepdims=0)
    nan = graph.to_double(graph.op("IsNaN", total))
    bad = graph.op("ReduceSum", nan, graph.shape(1), keepdims=1)
    forest.columns.note_invalid(graph.op("Greater", bad, graph.constant(0.0)))
    return Result(probabilities=total, best=best)


def _scores(element: Element | None, classes: list[str], single: bool) -> np.ndarray:
    """Probabilities [classes]; of a single tree also its vote, which may differ where two are equal."""
    shares = distribution(element, classes)
    return np.concatenate([shares, _winner(element, classes)]) if single else shares


def _winner(element: Element | None, classes: list[str]) -> np.ndarray:
    """A vote [classes] for the class that a leaf names."""
    if element is None:
        return np.full(len(classes), np.nan)
    score = element.get("score", "")
    if not score:
        return np.eye(len(classes))[int(np.argmax(distribution(element, classes)))]
    if score not in classes:
        raise InvalidDocument(f"a Node scores {score!r}, which is no class")
    return np.eye(len(classes))[classes.index(score)]


def _chain(models: list[Element], columns: Columns, classes: list[str], chained: Chained) -> Result:
    for model in models[:-1]:
        result = compute(model, columns, classes, chained)
        if result.number is None:
            raise UnsupportedElement(
                f"{model.name} of classification before the last segment of a modelChain"
            )
        value = targeted(model, result.number, columns)
        output = model.first("Output")
        for field in output.all("OutputField") if output else []:
            field.choice("feature", "predictedValue")
            field.only()
            chained[field.get("name")] = value
    return compute(models[-1], columns, classes, chained)


def targeted(model: Element, value: str, columns: Columns) -> str:
    """A number after the model's Targets. Raises UnsupportedElement for more than scale and shift."""
    targets = model.first("Targets")
    if targets is None:
        return value
    (target,) = targets.all("Target")
    target.only()
    target.refuse("min", "max", "castInteger")
    factor, constant = target.number("rescaleFactor", 1.0), target.number("rescaleConstant", 0.0)
    if factor != 1.0:
        value = columns.graph.op("Mul", value, columns.graph.constant(factor))
    if constant != 0.0:
        value = columns.graph.op("Add", value, columns.graph.constant(constant))
    return value


def _regression(model: Element, columns: Columns, classes: list[str], chained: Chained) -> Result:
    graph, tables = columns.graph, model.all("RegressionTable")
    sums = [_linear(table, columns, chained) for table in tables]
    if not _classifies(model):
        model.choice("normalizationMethod", "none", "identity")
        return Result(number=_broadcast(sums[0], columns))
    names = [table.get("targetCategory") for table in tables]
    if sorted(names) != sorted(classes):
        raise UnsupportedElement("RegressionModel", f"its tables are for {names}, the target has {classes}")
    how = model.choice("normalizationMethod", "none", "logit", "softmax", "simplemax")
    if how == "simplemax" or (how == "none" and len(tables) != 1):
        raise UnsupportedElement(f"RegressionModel with normalizationMethod={how!r}", "of classification")
    if len(tables) == 2 and how == "logit":
        if tables[1].all("NumericPredictor", "CategoricalPredictor"):
            raise UnsupportedElement("RegressionModel with logit", "its second table has predictors")
        first = graph.op("Sigmoid", _broadcast(sums[0], columns))
        parts = [first, graph.op("Sub", graph.constant(1.0), first)]
    elif how == "softmax":
        together = graph.op("Concat", *(_broadcast(each, columns) for each in sums), axis=1)
        normal = graph.op("Softmax", together, axis=1)
        parts = [
            graph.op("Gather", normal, graph.constant(np.array([i], np.int64)), axis=1)
            for i in range(len(tables))
        ]
    else:
        raise UnsupportedElement(f"RegressionModel with {how!r} and {len(tables)} tables")
    ordered = [parts[names.index(name)] for name in classes]
    probabilities = graph.op("Concat", *ordered, axis=1)
    return Result(probabilities=probabilities, best=graph.op("ArgMax", probabilities, axis=1, keepdims=0))


def _linear(table: Element, columns: Columns, chained: Chained) -> str:
    """A RegressionTable: intercept and predictors, added in the document's order."""
    graph = columns.graph
    table.only("NumericPredictor", "CategoricalPredictor")
    total = graph.constant(np.array([[table.number("intercept", 0.0)]]))
    for predictor in table:
        name, coefficient = predictor.get("name", predictor.get("field", "")), predictor.number("coefficient")
        value = chained.get(name) or columns.value(name, predictor.name)
        if predictor.name == "CategoricalPredictor":
            wanted = columns.code(name, predictor.get("value"), predictor.name)
            value = graph.to_double(graph.op("Equal", value, graph.constant(wanted)))
        elif predictor.number("exponent", 1.0) != 1.0:
            raise UnsupportedElement(f"NumericPredictor with exponent={predictor.get('exponent')!r}")
        product = value if coefficient == 1.0 else graph.op("Mul", value, graph.constant(coefficient))
        total = graph.op("Add", total, product)
    return total


def _broadcast(value: str, columns: Columns) -> str:
    """[N, 1] of a value that may be one number for all rows."""
    some = next(iter(columns.inputs), None)
    if some is None:
        raise UnsupportedElement("a model that uses no field")
    graph = columns.graph
    rows = graph.op("Shape", some)
    return graph.op("Expand", value, rows)
