"""Models between training and serving: bundle, gate, runtime, registry, and the Spark converter."""

from millrace.models.bundle import Bundle, InvalidBundle, Manifest, Verification, write_bundle
from millrace.models.gate import VerificationFailed, verify
from millrace.models.runtime import OnnxModel
from millrace.models.tensors import Tensor

__all__ = [
    "Bundle",
    "InvalidBundle",
    "Manifest",
    "OnnxModel",
    "Tensor",
    "Verification",
    "VerificationFailed",
    "verify",
    "write_bundle",
]
