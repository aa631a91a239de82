"""From a PMML document to ONNX."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from millrace.models.pmml.document import Element, read
from millrace.models.pmml.errors import InvalidDocument, UnsupportedElement
from millrace.models.pmml.fields import Columns, Field, read_fields
from millrace.models.pmml.models import MODELS, compute, targeted
from millrace.models.spark.graph import Graph

LABEL, PROBABILITIES, PREDICTION, VALID = "label", "probabilities", "prediction", "valid"


@dataclass(frozen=True)
class Converted:
    """An ONNX model in doubles, and what its outputs mean.

    `classes` is the order of `probabilities`; `target` the name of the field that is predicted;
    `document` the root element, whose ModelVerification holds answers.
    """

    model: ModelProto
    target: str
    classes: tuple[str, ...]
    document: Element


def convert(document: str | os.PathLike[str] | bytes) -> Converted:
    """Convert a document: a TreeModel, a RegressionModel, or a MiningModel of trees or of a chain of them.

    Every field that the model reads becomes an input [N, 1], text or doubles. Outputs: `label` [N] and
    `probabilities` [N, classes] of a classification, `prediction` [N, 1] of a regression, and `valid` [N],
    booleans, if there are rows for which the document has no answer: values that its fields do not list,
    missing numbers, no child of a node that is true.
    Raises UnsupportedElement for an element or attribute that is not known, InvalidDocument for a broken one.
    """
    root = read(document)
    fields = read_fields(root)
    found = [child for child in root if child.name not in _AROUND]
    if len(found) != 1:
        raise InvalidDocument(f"the document has {len(found)} models instead of one")
    model = found[0]
    if model.name not in MODELS:
        raise UnsupportedElement(model.name, f"the models that are converted are {', '.join(MODELS)}")
    target = _target(model, fields)
    classes = target.values if target and model.get("functionName") == "classification" else ()
    if model.get("functionName") == "classification" and len(classes) < 2:
        raise InvalidDocument("the field that a classification predicts lists no classes")
    graph = Graph()
    columns = Columns(graph, fields, model.one("MiningSchema"))
    result = compute(model, columns, classes, {})
    single = model.get("x-mathContext", "double") == "float"
    element = TensorProto.FLOAT if single else TensorProto.DOUBLE
    outputs = []
    if result.number is not None:
        value = targeted(model, result.number, columns)
        _out(graph, value, PREDICTION, single)
        outputs.append(helper.make_tensor_value_info(PREDICTION, element, ["N", 1]))
    else:
        if model.first("Targets") is not None:
            raise UnsupportedElement("Targets of a classification")
        assert result.best is not None
        assert result.probabilities is not None
        outputs.append(_label(graph, result.best, target, classes))
        _out(graph, result.probabilities, PROBABILITIES, single)
        outputs.append(helper.make_tensor_value_info(PROBABILITIES, element, ["N", len(classes)]))
    if columns.valid is not None:
        graph.op("Identity", columns.valid, output=VALID)
        outputs.append(helper.make_tensor_value_info(VALID, TensorProto.BOOL, ["N"]))
    inputs = [columns.inputs[name] for name in fields if name in columns.inputs]
    proto = graph.model(inputs, outputs)
    return Converted(proto, target.name if target else PREDICTION, tuple(classes), root)


# Derived fields are refused where something uses them.
_AROUND = {"Header", "MiningBuildTask", "DataDictionary", "TransformationDictionary"}


def _target(model: Element, fields: dict[str, Field]) -> Field | None:
    for mining in model.one("MiningSchema").all("MiningField"):
        if mining.get("usageType", "active") in ("target", "predicted"):
            return fields[mining.get("name")]
    if model.get("functionName") == "classification":
        raise InvalidDocument("the model has no target field, so its classes are not known")
    return None


def _label(graph: Graph, best: str, target: Field | None, classes: tuple[str, ...]) -> ValueInfoProto:
    """The class as the target's type has it: text, whole numbers or doubles."""
    datatype = target.datatype if target else "string"
    if datatype == "integer":
        values, element = np.array([int(c) for c in classes], np.int64), TensorProto.INT64
    elif datatype in ("double", "float"):
        values, element = np.array([float(c) for c in classes], np.float64), TensorProto.DOUBLE
    else:
        values, element = np.array(classes, object), TensorProto.STRING
    graph.op("Gather", graph.constant(values), best, output=LABEL)
    return helper.make_tensor_value_info(LABEL, element, ["N"])


def _out(graph: Graph, value: str, name: str, single: bool) -> None:
    if single:
        graph.op("Cast", value, output=name, to=TensorProto.FLOAT)
    else:
        graph.op("Identity", value, output=name)
