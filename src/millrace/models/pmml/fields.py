"""Fields of a PMML document as columns of an ONNX graph, in doubles; what is not valid is noted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from millrace.models.pmml.document import Element
from millrace.models.pmml.errors import InvalidDocument, UnsupportedElement
from millrace.models.spark.graph import ML, Graph

_NUMBERS = {"double", "float", "integer"}


@dataclass(frozen=True)
class Field:
    """A DataField; `values` are those that it declares valid."""

    name: str
    optype: str
    datatype: str
    values: tuple[str, ...]

    @property
    def text(self) -> bool:
        return self.datatype == "string"


def read_fields(root: Element) -> dict[str, Field]:
    """The data dictionary. Raises InvalidDocument."""
    fields = {}
    for element in root.one("DataDictionary").all("DataField"):
        valid = tuple(
            value.get("value")
            for value in element.all("Value")
            if value.choice("property", "valid", "invalid", "missing") == "valid"
        )
        name = element.get("name")
        fields[name] = Field(name, element.get("optype"), element.get("dataType"), valid)
    return fields


class Columns:
    """The active fields of a model, made into columns [N, 1] of doubles when something asks for them.

    Text becomes its place among the field's values, or -1.
    """

    def __init__(self, graph: Graph, fields: dict[str, Field], schema: Element) -> None:
        self.graph = graph
        self._fields = fields
        self._mining = {element.get("name"): element for element in schema.all("MiningField")}
        self._values: dict[str, str] = {}
        self._positions: dict[str, dict[str, int]] = {}
        self._invalid: list[str] = []
        self.inputs: dict[str, ValueInfoProto] = {}

    def field(self, name: str, where: str) -> Field:
        """A field that a model may use. Raises UnsupportedElement for a derived one."""
        if name not in self._fields or name not in self._mining:
            raise UnsupportedElement(
                f"{where} on {name!r}",
                "it is no active field of the data dictionary; derived fields are not converted",
            )
        return self._fields[name]

    def value(self, name: str, where: str) -> str:
        """The column of a field. Raises UnsupportedElement for what it declares and is not known."""
        if name not in self._values:
            field, mining = self.field(name, where), self._mining[name]
            mining.choice("usageType", "active")
            mining.choice("outliers", "asIs")
            mining.refuse("missingValueReplacement")
            self._values[name] = self._text(field, mining) if field.text else self._number(field, mining)
        return self._values[name]

    def code(self, name: str, value: str, where: str) -> float:
        """The number that stands for a value of a field in its column."""
        field = self.field(name, where)
        if not field.text:
            return _number(value, field)
        # A value that the dictionary does not list can still be tested for.
        known = self._positions.setdefault(name, {v: i for i, v in enumerate(field.values)})
        if value not in known:
            if field.values:
                raise InvalidDocument(f"{where} tests {name!r} for {value!r}, which its field does not list")
            raise UnsupportedElement(f"DataField {name!r}", "its text has no list of values")
        return float(known[value])

    def note_invalid(self, condition: str) -> None:
        """Note [N, 1] booleans: true where there is no answer."""
        self._invalid.append(condition)

    @property
    def valid(self) -> str | None:
        """Booleans [N], or None when every row is valid."""
        if not self._invalid:
            return None
        total = self._invalid[0]
        for condition in self._invalid[1:]:
            total = self.graph.op("Or", total, condition)
        return self.graph.op("Reshape", self.graph.op("Not", total), self.graph.shape(-1))

    def _number(self, field: Field, mining: Element) -> str:
        if field.datatype not in _NUMBERS:
            raise UnsupportedElement(f"DataField {field.name!r} of {field.datatype}")
        treatment = mining.choice("invalidValueTreatment", "returnInvalid", "asIs", "asMissing")
        self.inputs[field.name] = helper.make_tensor_value_info(field.name, TensorProto.DOUBLE, ["N", 1])
        value = field.name
        if field.datatype == "float":
            value = self.graph.to_double(self.graph.op("Cast", value, to=TensorProto.FLOAT))
        # A missing number: trees would follow their missing-value strategy, which is not converted.
        self.note_invalid(self.graph.op("IsNaN", value))
        if field.values and treatment != "asIs":
            allowed = self.graph.constant(np.array([[_number(v, field) for v in field.values]]))
            same = self.graph.to_double(self.graph.op("Equal", value, allowed))
            found = self.graph.op("ReduceSum", same, self.graph.shape(1), keepdims=1)
            self.note_invalid(self.graph.op("Equal", found, self.graph.constant(0.0)))
        return value

    def _text(self, field: Field, mining: Element) -> str:
        treatment = mining.choice("invalidValueTreatment", "returnInvalid", "asIs")
        if not field.values:
            raise UnsupportedElement(f"DataField {field.name!r}", "its text has no list of values")
        self.inputs[field.name] = helper.make_tensor_value_info(field.name, TensorProto.STRING, ["N", 1])
        places = np.arange(len(field.values), dtype=np.float64)
        column = self.graph.op(
            "LabelEncoder",
            field.name,
            domain=ML,
            keys_strings=list(field.values),
            values_tensor=numpy_helper.from_array(places, "values"),
            default_tensor=numpy_helper.from_array(np.array([-1.0]), "default"),
        )
        if treatment == "returnInvalid":
            self.note_invalid(self.graph.op("Equal", column, self.graph.constant(-1.0)))
        return column


def _number(value: str, field: Field) -> float:
    try:
        number = float(value)
    except ValueError:
        raise InvalidDocument(f"field {field.name!r} is {field.datatype}, which {value!r} is not") from None
    return float(np.float32(number)) if field.datatype == "float" else number
