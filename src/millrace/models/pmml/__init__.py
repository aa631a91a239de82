"""PMML documents to ONNX, exact: trees, their ensembles, and regression models."""

from millrace.models.pmml.convert import Converted, convert
from millrace.models.pmml.errors import InvalidDocument, UnsupportedElement

__all__ = ["Converted", "InvalidDocument", "UnsupportedElement", "convert"]
