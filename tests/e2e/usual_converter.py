"""Converts a saved flights pipeline with onnxmltools, the usual way, into a bundle with the same rows.

    python tests/e2e/usual_converter.py KEPT/pipeline KEPT/bundle OUT

KEPT is what `examples/flights/train.py --keep` left. Runs in the environment of requirements/onnxmltools.txt,
with a JVM. The gate must refuse what it writes: onnxmltools reads splits on sets of categories as thresholds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from onnx import ModelProto
from onnxmltools import convert_sparkml
from onnxmltools.convert.common.data_types import FloatTensorType, StringTensorType
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from millrace.models import Bundle, Tensor, write_bundle


def local_spark() -> SparkSession:
    return (
        SparkSession.builder.master("local[1]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "600m")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .getOrCreate()
    )


def convert(pipeline: Path, signature: tuple[Tensor, ...]) -> ModelProto:
    spark = local_spark()
    try:
        model = PipelineModel.load(str(pipeline))
        kinds = {"BYTES": StringTensorType, "FP64": FloatTensorType}
        types = [(tensor.name, kinds[tensor.datatype]([None, 1])) for tensor in signature]
        return convert_sparkml(model, "usual", types, spark_session=spark)
    finally:
        spark.stop()


def main(pipeline: str, kept: str, out: str) -> None:
    bundle = Bundle.load(kept)
    rows = bundle.verification()
    # It gives labels as integers, and probabilities as floats.
    inputs = {n: a if a.dtype == object else a.astype(np.float32) for n, a in rows.inputs.items()}
    outputs = {
        "prediction": rows.outputs["prediction"].astype(np.int64),
        "probability": rows.outputs["probability"].astype(np.float32),
    }
    model = convert(Path(pipeline), bundle.inputs)
    write_bundle(out, model, inputs, outputs, framework=f"{bundle.manifest.framework}, by onnxmltools")


if __name__ == "__main__":
    main(*sys.argv[1:])
