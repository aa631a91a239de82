"""Stages that change numbers: scalers, Imputer, Bucketizer."""

from __future__ import annotations

from functools import partial

import numpy as np

from millrace.models.spark.flow import Flow, Scalar, Vector
from millrace.models.spark.reader import Stage, to_number, to_vector


def standard_scaler(stage: Stage, flow: Flow) -> None:
    """StandardScalerModel; a feature without deviation becomes 0."""
    data = stage.row()
    deviation = to_vector(data["std"])
    factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation != 0)
    mean = to_vector(data["mean"])
    _affine(
        stage,
        flow,
        shift=mean if stage.params["withMean"] else np.zeros_like(mean),
        factor=factor if stage.params["withStd"] else np.ones_like(factor),
        offset=np.zeros_like(mean),
    )


def max_abs_scaler(stage: Stage, flow: Flow) -> None:
    """MaxAbsScalerModel."""
    largest = to_vector(stage.row()["maxAbs"])
    zero = np.zeros_like(largest)
    _affine(stage, flow, shift=zero, factor=1.0 / np.where(largest == 0, 1.0, largest), offset=zero)


def min_max_scaler(stage: Stage, flow: Flow) -> None:
    """MinMaxScalerModel; a constant feature becomes the middle of the new range."""
    data = stage.row()
    low, high = to_vector(data["originalMin"]), to_vector(data["originalMax"])
    new_low, new_high = stage.number("min"), stage.number("max")
    spread = high - low
    factor = np.divide(new_high - new_low, spread, out=np.zeros_like(spread), where=spread != 0)
    offset = np.where(factor == 0, (new_high + new_low) / 2, new_low)
    _affine(stage, flow, shift=low, factor=factor, offset=offset)


def _affine(stage: Stage, flow: Flow, shift: np.ndarray, factor: np.ndarray, offset: np.ndarray) -> None:
    """Define (x - shift) * factor + offset; steps that change nothing are left out."""
    (source, target), graph = stage.columns[0], flow.graph

    def scaled() -> Vector:
        vector = flow.vector(stage, source, len(factor))

        def build() -> str:
            value = vector.build()
            if shift.any():
                value = graph.op("Sub", value, graph.constant(shift[None]))
            if (factor != 1).any():
                value = graph.op("Mul", value, graph.constant(factor[None]))
            if offset.any():
                value = graph.op("Add", value, graph.constant(offset[None]))
            return value

        return Vector(vector.width, build)

    flow.define(stage, target, scaled)


def imputer(stage: Stage, flow: Flow) -> None:
    """ImputerModel: missing numbers replaced."""
    surrogates = stage.row()
    for source, target in stage.columns:
        flow.define(stage, target, partial(_impute, stage, flow, source, float(surrogates[source])))


def _impute(stage: Stage, flow: Flow, source: str, surrogate: float) -> Scalar:
    graph, column, missing_value = flow.graph, flow.scalar(stage, source), stage.number("missingValue")
    if np.isnan(missing_value):
        missing = graph.op("IsNaN", column.value)
    else:
        missing = graph.op("Equal", column.value, graph.constant(missing_value))
    # Spark casts the surrogate to the type of the column.
    surrogate = float(np.trunc(surrogate)) if column.integer else surrogate
    value = graph.op("Where", missing, graph.constant(surrogate), column.value)
    return Scalar(value, integer=column.integer, may_be_nan=not np.isnan(missing_value))


def bucketizer(stage: Stage, flow: Flow) -> None:
    """Bucketizer: numbers to the index of the bucket between two splits, the last closed on both sides."""
    keep = stage.choice("handleInvalid", "error", "skip", "keep") == "keep"
    splits = stage.params.get("splitsArray") or [stage.params["splits"]]
    for (source, target), bounds in zip(stage.columns, splits, strict=True):
        numbers = np.array([to_number(bound) for bound in bounds])
        flow.define(stage, target, partial(_bucket, stage, flow, source, numbers, keep))


def _bucket(stage: Stage, flow: Flow, source: str, splits: np.ndarray, keep: bool) -> Scalar:
    graph, value = flow.graph, flow.scalar(stage, source).value
    reached = graph.to_double(graph.op("GreaterOrEqual", value, graph.constant(splits[None, 1:-1])))
    bucket = graph.op("ReduceSum", reached, graph.shape(1), keepdims=1)
    nan = graph.op("IsNaN", value)
    buckets = len(splits) - 1
    if keep:
        bucket = graph.op("Where", nan, graph.constant(float(buckets)), bucket)
    else:
        flow.invalid(nan)
    # Out of the bounds is an error for Spark even with `keep`.
    if np.isfinite(splits[0]):
        flow.invalid(graph.op("Less", value, graph.constant(float(splits[0]))))
    if np.isfinite(splits[-1]):
        flow.invalid(graph.op("Greater", value, graph.constant(float(splits[-1]))))
    return Scalar(bucket, integer=True, categories=buckets + keep, may_be_nan=False)
