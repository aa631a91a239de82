"""Models between training and serving: bundle, gate, runtime, registry, and what makes bundles.

Imported on demand: a process that only reads bundles needs no ONNX Runtime, and a server no converter.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.models.bundle import Bundle, InvalidBundle, Manifest, Verification, write_bundle
    from millrace.models.frameworks import (
        CannotBundle,
        MissingExtra,
        bundle_keras,
        bundle_lightgbm,
        bundle_mlflow,
        bundle_onnx,
        bundle_pmml,
        bundle_python,
        bundle_sklearn,
        bundle_spark,
        bundle_torch,
        bundle_xgboost,
    )
    from millrace.models.gate import VerificationFailed, verify
    from millrace.models.runtime import OnnxModel
    from millrace.models.tensors import Tensor

__all__ = [
    "Bundle",
    "CannotBundle",
    "InvalidBundle",
    "Manifest",
    "MissingExtra",
    "OnnxModel",
    "Tensor",
    "Verification",
    "VerificationFailed",
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
    "verify",
    "write_bundle",
]

_MODULES = {
    "OnnxModel": "runtime",
    "Tensor": "tensors",
    "VerificationFailed": "gate",
    "verify": "gate",
    **dict.fromkeys(("Bundle", "InvalidBundle", "Manifest", "Verification", "write_bundle"), "bundle"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'millrace.models' has no attribute {name!r}")
    value = getattr(import_module(f"millrace.models.{_MODULES.get(name, 'frameworks')}"), name)
    globals()[name] = value
    return value
