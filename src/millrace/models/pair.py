"""A single row, padded to two, in memory that ONNX Runtime keeps using."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from millrace.models.tensors import DATATYPES, Tensor

# numpy's letters are struct's, but for 8 bytes where sizes are standard (`=`). Only there struct refuses a
# number that is too large for FP32, which otherwise becomes infinite.
_STANDARD = str.maketrans("lL", "qQ")


class Pair:
    """Arrays of two rows for all inputs of a model: filling them costs less than making them. For one thread.

    Where inputs and outputs are numbers, their memory is bound to the session: a call costs half as much.
    """

    def __init__(
        self, session: ort.InferenceSession, inputs: Sequence[Tensor], outputs: Sequence[str]
    ) -> None:
        """`outputs`: names of all outputs."""
        self._session = session
        self._names = list(outputs)
        self.inputs = {t.name: np.empty((2, *t.shape[1:]), DATATYPES[t.datatype]) for t in inputs}
        self._fills = {name: _fill(array) for name, array in self.inputs.items()}
        self._bindable = all(array.dtype.kind != "O" for array in self.inputs.values())
        self._binding: Any = None
        self._outputs: dict[str, np.ndarray] = {}
        self._first: dict[str, np.ndarray] = {}

    @property
    def bound(self) -> bool:
        """Whether the next call takes the short way."""
        return self._bindable and self._binding is not None

    def fill(self, name: str, values: Sequence[Any]) -> None:
        """Write the values of a row into an input [2, width], twice.

        Raises struct.error or OverflowError for a number that the input cannot hold.
        """
        self._fills[name](*values, *values)

    def run(self, names: list[str], *, keep: bool = True) -> dict[str, np.ndarray]:
        """The outputs of the row that `inputs` hold twice, [1, ...] each. Raises what ONNX Runtime raises.

        Without `keep` they are good until the next call, which writes into them.
        """
        if names != self._names or not self._bindable:
            return _first(names, self._session.run(names, self.inputs))
        if self._binding is None:
            results = self._session.run(names, self.inputs)
            self._bind(results)
            return _first(names, results)
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception:  # ONNX Runtime's errors share no base class
            # When the values are at fault this raises as well; else an output has not always the same shape.
            results = self._session.run(names, self.inputs)
            self._bindable = False
            return _first(names, results)
        return {name: array.copy() for name, array in self._first.items()} if keep else self._first

    def _bind(self, results: Sequence[Any]) -> None:
        """Have later calls write outputs of these shapes and types into one place."""
        self._bindable = all(isinstance(a, np.ndarray) and a.dtype.kind != "O" for a in results)
        if not self._bindable:
            return
        self._outputs = dict(zip(self._names, map(np.empty_like, results), strict=True))
        self._first = {name: array[:1] for name, array in self._outputs.items()}
        binding = self._session.io_binding()
        for name, array in self.inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in self._outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        self._binding = binding


def _fill(array: np.ndarray) -> Callable[..., None]:
    """Writes values into all of an array; numpy takes four times as long to read a list of numbers."""
    if array.dtype.kind == "O":
        flat = array.reshape(-1)

        def assign(*values: Any) -> None:
            flat[:] = values

        return assign
    letter = array.dtype.char.translate(_STANDARD)
    return partial(Struct(f"={array.size}{letter}").pack_into, array.data.cast("B"), 0)


def _first(names: Sequence[str], results: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array[:1] for name, array in zip(names, results, strict=True)}
