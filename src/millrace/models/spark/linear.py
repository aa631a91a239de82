"""Linear models."""

from __future__ import annotations

import numpy as np

from millrace.models.spark.flow import Flow
from millrace.models.spark.reader import Stage, to_matrix, to_vector


def linear_regression(stage: Stage, flow: Flow) -> None:
    """LinearRegressionModel."""
    data, graph = stage.row(), flow.graph
    coefficients = to_vector(data["coefficients"])
    features = flow.vector(stage, stage.params["featuresCol"], len(coefficients)).build()
    product = graph.op("MatMul", features, graph.constant(coefficients[:, None]))
    flow.predict(stage, "predictionCol", graph.op("Add", product, graph.constant(float(data["intercept"]))))


def logistic_regression(stage: Stage, flow: Flow) -> None:
    """LogisticRegressionModel, binomial and multinomial."""
    stage.refuse("thresholds")
    if stage.number("threshold") != 0.5:
        raise stage.unsupported(f"its threshold is {stage.params['threshold']} instead of 0.5")
    data, graph = stage.row(), flow.graph
    coefficients, intercept = to_matrix(data["coefficientMatrix"]), to_vector(data["interceptVector"])
    features = flow.vector(stage, stage.params["featuresCol"], coefficients.shape[1]).build()
    product = graph.op("MatMul", features, graph.constant(np.ascontiguousarray(coefficients.T)))
    margin = graph.op("Add", product, graph.constant(intercept[None]))
    if data["isMultinomial"]:
        classes = len(intercept)
        flow.predict(stage, "rawPredictionCol", margin, classes)
        flow.predict(stage, "probabilityCol", graph.op("Softmax", margin, axis=1), classes)
        flow.label(stage, margin)
    else:
        binary_outputs(stage, flow, margin, scale=1.0)


def binary_outputs(stage: Stage, flow: Flow, margin: str, scale: float) -> None:
    """Outputs of a margin [N, 1], positive for class 1: its probability is 1 / (1 + exp(-scale * margin)).

    `scale` is a power of two. Both classes go through the logistic function: a node less for a single row,
    and within a last bit of Spark, which takes one of them as the rest.
    """
    graph = flow.graph
    both = graph.op("Mul", margin, graph.constant(np.array([[-scale, scale]])))
    raw = both if scale == 1.0 else graph.op("Mul", both, graph.constant(1.0 / scale))
    flow.predict(stage, "rawPredictionCol", raw, 2)
    flow.predict(stage, "probabilityCol", graph.op("Sigmoid", both), 2)
    # A margin of zero is class 0, the first of two equal ones.
    flow.label(stage, both)
