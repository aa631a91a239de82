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
        label = graph.to_double(graph.op("ArgMax", margin, axis=1, keepdims=1))
        flow.predict(stage, "rawPredictionCol", margin, classes)
        flow.predict(stage, "probabilityCol", graph.op("Softmax", margin, axis=1), classes)
        flow.predict(stage, "predictionCol", label)
    else:
        binary_outputs(stage, flow, margin, scale=1.0)


def binary_outputs(stage: Stage, flow: Flow, margin: str, scale: float) -> None:
    """Outputs of a margin [N, 1], positive for class 1: its probability is 1 / (1 + exp(-scale * margin))."""
    graph = flow.graph
    opposite = graph.op("Neg", margin)
    # As Spark does it: class 0 by the logistic function, class 1 as the rest.
    scaled = opposite if scale == 1.0 else graph.op("Mul", opposite, graph.constant(scale))
    zero = graph.op("Sigmoid", scaled)
    one = graph.op("Sub", graph.constant(1.0), zero)
    flow.predict(stage, "rawPredictionCol", graph.op("Concat", opposite, margin, axis=1), 2)
    flow.predict(stage, "probabilityCol", graph.op("Concat", zero, one, axis=1), 2)
    flow.predict(stage, "predictionCol", graph.to_double(graph.op("Greater", margin, graph.constant(0.0))))
