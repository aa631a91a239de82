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
        self, session: ort.InferenceSession, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> None:
        """`outputs`: all of the model's."""
        self._session = session
        self._names = [tensor.name for tensor in outputs]
        self._shapes = [tuple(tensor.shape[1:]) for tensor in outputs]
        self.inputs = {t.name: np.empty((2, *t.shape[1:]), DATATYPES[t.datatype]) for t in inputs}
        self._fills = [_fill(array) for array in self.inputs.values()]
        self._only = self._fills[0] if len(self._fills) == 1 else None
        self._bindable = all(array.dtype.kind != "O" for array in self.inputs.values())
        # Computes the outputs into memory of ours; None before the first call, and where that cannot be.
        self._compute: Callable[[], None] | None = None
        self._outputs: dict[str, np.ndarray] = {}
        # For each output: its first row as a flat list. Empty where they have not the declared shapes.
        self._lists: list[Callable[[], list[Any]]] = []

    @property
    def bound(self) -> bool:
        """Whether the next call takes the short way."""
        return self._compute is not None

    def fill(self, columns: Sequence[Sequence[Any]]) -> None:
        """Write the flat values of a row into the inputs, in their order, each twice.

        Raises struct.error or OverflowError for a number that an input cannot hold.
        """
        if self._only is not None:
            (values,) = columns
            self._only(*values, *values)
            return
        for write, values in zip(self._fills, columns, strict=True):
            write(*values, *values)

    def run(self, names: list[str]) -> dict[str, np.ndarray]:
        """The outputs of the row that `inputs` hold twice, [1, ...] each. Raises what ONNX Runtime raises."""
        if names != self._names:
            return _first(names, self._session.run(names, self.inputs))
        results = self._run()
        if results is None:
            return {name: array[:1].copy() for name, array in self._outputs.items()}
        return _first(names, results)

    def values(self) -> list[list[Any]]:
        """All outputs as `run` gives them, but flat lists of their values.

        Raises ValueError when an output has not its declared shape.
        """
        results = self._run()
        if results is None and self._lists:
            return [values() for values in self._lists]
        arrays = self._outputs.values() if results is None else results
        if [array.shape[1:] for array in arrays] != self._shapes:
            raise ValueError(f"the outputs are not of the shapes {self._shapes}")
        return [array[:1].ravel().tolist() for array in arrays]

    def _run(self) -> Sequence[np.ndarray] | None:
        """All outputs, None when they were written into `_outputs`."""
        if self._compute is None:
            results: Sequence[np.ndarray] = self._session.run(self._names, self.inputs)
            if self._bindable:
                self._bind(results)
            return results
        try:
            self._compute()
            return None
        except Exception:  # ONNX Runtime's errors share no base class
            # When the values are at fault this raises as well; else an output has not always the same shape.
            results = self._session.run(self._names, self.inputs)
            self._bindable, self._compute = False, None
            return results

    def _bind(self, results: Sequence[Any]) -> None:
        """Have later calls write outputs of these shapes and types into one place."""
        self._bindable = all(isinstance(a, np.ndarray) and a.dtype.kind != "O" for a in results)
        if not self._bindable:
            return
        self._outputs = dict(zip(self._names, map(np.empty_like, results), strict=True))
        if [array.shape[1:] for array in results] == self._shapes:
            self._lists = [array[:1].reshape(-1).tolist for array in self._outputs.values()]
        binding = self._session.io_binding()
        for name, array in self.inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in self._outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        self._compute = _bound_call(self._session, binding)


def _bound_call(session: ort.InferenceSession, binding: Any) -> Callable[[], None]:
    """`session.run_with_iobinding(binding)`, without what that wraps around the call where it is as known."""
    try:
        return partial(session._sess.run_with_iobinding, binding._iobinding, None)
    except AttributeError:
        return partial(session.run_with_iobinding, binding)


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
