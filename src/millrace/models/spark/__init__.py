"""Spark's PipelineModel to ONNX, exact, from the saved folder: no Spark and no JVM."""

from millrace.models.spark.convert import STAGES, convert
from millrace.models.spark.errors import ConversionError, UnsupportedStage

__all__ = ["STAGES", "ConversionError", "UnsupportedStage", "convert"]
