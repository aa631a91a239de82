"""Bundles from what training leaves: a fitted model and sample rows, whichever framework it is of.

Every function converts the model to ONNX, lets the framework itself answer the sample rows, writes the bundle
and sends it through the gate; a bundle that does not pass is not left behind. The libraries that convert are
extras of the package: a missing one is named with the pip command.
"""

from millrace.models.frameworks.errors import CannotBundle, MissingExtra
from millrace.models.frameworks.keras import bundle_keras
from millrace.models.frameworks.lightgbm import bundle_lightgbm
from millrace.models.frameworks.onnx import bundle_onnx
from millrace.models.frameworks.pmml import bundle_pmml
from millrace.models.frameworks.python import bundle_mlflow, bundle_python
from millrace.models.frameworks.sklearn import bundle_sklearn
from millrace.models.frameworks.spark import bundle_spark
from millrace.models.frameworks.torch import bundle_torch
from millrace.models.frameworks.xgboost import bundle_xgboost

__all__ = [
    "CannotBundle",
    "MissingExtra",
    "bundle_keras",
    "bundle_lightgbm",
    "bundle_mlflow",
    "bundle_onnx",
    "bundle_pmml",
    "bundle_python",
    "bundle_sklearn",
    "bundle_spark",
    "bundle_torch",
    "bundle_xgboost",
]
