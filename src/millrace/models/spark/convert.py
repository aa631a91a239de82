"""From a saved PipelineModel to ONNX."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from onnx import ModelProto

from millrace.models.spark import features, linear, numeric, trees
from millrace.models.spark.errors import UnsupportedStage
from millrace.models.spark.flow import ColumnType, Flow
from millrace.models.spark.reader import Stage, read_stages

_ML = "org.apache.spark.ml"
STAGES: dict[str, Callable[[Stage, Flow], None]] = {
    f"{_ML}.feature.StringIndexerModel": features.string_indexer,
    f"{_ML}.feature.OneHotEncoderModel": features.one_hot_encoder,
    f"{_ML}.feature.VectorAssembler": features.vector_assembler,
    f"{_ML}.feature.StandardScalerModel": numeric.standard_scaler,
    f"{_ML}.feature.MaxAbsScalerModel": numeric.max_abs_scaler,
    f"{_ML}.feature.MinMaxScalerModel": numeric.min_max_scaler,
    f"{_ML}.feature.ImputerModel": numeric.imputer,
    f"{_ML}.feature.Bucketizer": numeric.bucketizer,
    f"{_ML}.regression.LinearRegressionModel": linear.linear_regression,
    f"{_ML}.classification.LogisticRegressionModel": linear.logistic_regression,
    f"{_ML}.classification.GBTClassificationModel": trees.gbt_classifier,
    f"{_ML}.regression.GBTRegressionModel": trees.gbt_regressor,
    f"{_ML}.classification.DecisionTreeClassificationModel": trees.tree_classifier,
    f"{_ML}.regression.DecisionTreeRegressionModel": trees.tree_regressor,
    f"{_ML}.classification.RandomForestClassificationModel": trees.forest_classifier,
    f"{_ML}.regression.RandomForestRegressionModel": trees.forest_regressor,
}


def convert(
    path: str | os.PathLike[str],
    types: Mapping[str, ColumnType] | None = None,
    outputs: Sequence[str] | None = None,
) -> ModelProto:
    """Convert the folder that PipelineModel.save wrote, without Spark, exactly: doubles throughout.

    Every raw column becomes an input [N, 1]: text if a StringIndexer reads it, else doubles; `types`
    overrides that with `string`, `double` or `integer` (doubles that Spark held as whole numbers). ONNX has
    no null: a null string is sent as any text that was not seen in training, a null number as NaN, or, where
    Spark tells the two apart, as what the Imputer takes for missing.

    Outputs bear the names of Spark's columns: `prediction` [N], `probability` and `rawPrediction`
    [N, classes], all in doubles, and `valid` [N], booleans, if there are rows for which Spark would raise an
    error or which it would drop. `outputs` chooses some of them.

    Raises UnsupportedStage for a stage or parameter that is not known, ConversionError for a broken folder.
    """
    flow = Flow(types or {})
    for stage in read_stages(path):
        if stage.class_name not in STAGES:
            raise UnsupportedStage(stage.class_name, stage.uid)
        STAGES[stage.class_name](stage, flow)
    return flow.model(list(outputs) if outputs is not None else None)
