"""What answers in a model's place: a constant, an older version, or another model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.models import Tensor
from millrace.models.tensors import DATATYPES
from millrace.serving.calls import Signature
from millrace.serving.tensors import KINDS

Arrays = dict[str, NDArray[Any]]


class Unfit(Exception):
    """A fallback that cannot stand in for its model; says why."""


class Constant:
    """The same row for every row."""

    label = "constant"

    def __init__(self, values: dict[str, Any], signature: Signature) -> None:
        """`values`: for each output a value, or a row's values. Raises `Unfit`."""
        surplus = set(values) - set(signature.outputs)
        if surplus:
            raise Unfit(f"the constant fallback has '{min(surplus)}', which is no output of the model")
        self._rows = {name: _row(tensor, values.get(name)) for name, tensor in signature.outputs.items()}

    def compute(self, outputs: Sequence[str], rows: int) -> Arrays:
        """The outputs for so many rows."""
        return {name: np.repeat(self._rows[name], rows, axis=0) for name in outputs}


def _row(tensor: Tensor, value: Any) -> NDArray[Any]:
    kind = KINDS[tensor.datatype]
    if value is None:
        raise Unfit(f"the constant fallback has no value for the output '{tensor.name}'")
    values = np.array(value, dtype=object).ravel().tolist()
    for each in values:
        if type(each) is not kind and not (kind is float and type(each) is int):
            raise Unfit(f"the constant fallback has {each!r} for '{tensor.name}', which is {tensor.datatype}")
    width = int(np.prod(tensor.shape[1:], dtype=int))
    if len(values) not in (1, width):
        raise Unfit(f"the constant fallback has {len(values)} values for '{tensor.name}', which has {width}")
    values = values * width if len(values) == 1 else values
    try:
        return np.array(values, DATATYPES[tensor.datatype]).reshape(1, *tensor.shape[1:])
    except OverflowError:
        raise Unfit(
            f"the constant fallback is out of the range of '{tensor.name}', {tensor.datatype}"
        ) from None


def check_stands_in(other: Signature, model: Signature, what: str) -> None:
    """Raises `Unfit` unless `other` takes what `model` takes, and gives at least its outputs."""
    takes = [(r.name, r.datatype, r.shape) for r in model.inputs.values()]
    if sorted(takes) != sorted((r.name, r.datatype, r.shape) for r in other.inputs.values()):
        raise Unfit(f"{what} takes other inputs, so it cannot stand in")
    for tensor in model.outputs.values():
        if other.outputs.get(tensor.name) != tensor:
            raise Unfit(f"{what} has no such output as '{tensor.name}', so it cannot stand in")
