"""A bundle's model in ONNX Runtime, set up so that equal rows give equal bits wherever they are asked for.

ONNX Runtime is not batch-invariant: a batch of one, or of ten thousand, may differ in the last bits, and so
may several threads. Hence one thread, a single row padded to two, and at most `MAX_ROWS` rows a call.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from millrace.models.bundle import MODEL, Bundle, InvalidBundle
from millrace.models.columns import join
from millrace.models.pair import Pair
from millrace.models.tensors import Tensor

MAX_ROWS = 2000

_ONNX_TYPES = {
    "tensor(bool)": "BOOL",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class OnnxModel:
    """A loaded model. `run` may be called from several threads."""

    platform = "onnxruntime_onnx"
    inline = True

    def __init__(self, bundle: Bundle) -> None:
        """Load the model of a bundle. Raises InvalidBundle when it does not load or has another signature."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            content = bundle.read(MODEL)
            joined = join(content, bundle.inputs)
            # What stays whole ONNX Runtime reads itself: no copy of a large model is kept beside its own.
            del content
            source = joined.model if joined else str(bundle.path / MODEL)
            self.session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no base class
            if isinstance(error, InvalidBundle):
                raise
            raise InvalidBundle(f"ONNX Runtime {ort.__version__} does not load {MODEL}: {error}") from error
        self.inputs = bundle.inputs
        self.outputs = bundle.outputs
        self._local = threading.local()
        self._output_names = [tensor.name for tensor in bundle.outputs]
        self._names = {tensor.name for tensor in bundle.inputs}
        self._columns = joined.columns if joined else None
        self._taken = (joined.columns.tensor,) if joined else bundle.inputs
        surplus = {i.name for i in self.session.get_inputs()} - {t.name for t in self._taken}
        if surplus:
            raise InvalidBundle(
                f"{MODEL} wants an input {sorted(surplus)[0]!r} that the bundle does not declare"
            )
        _check("input", self._taken, self.session.get_inputs())
        _check("output", bundle.outputs, self.session.get_outputs())

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Outputs by name, for arrays [N, ...] of all inputs (text as object arrays of str), N at least 1.

        `outputs` restricts what is computed; by default all outputs of the bundle. After `timeout` seconds
        no further `MAX_ROWS` rows are begun.
        Raises ValueError when there is no row or row counts differ, TimeoutError.
        """
        names = list(outputs) if outputs is not None else self._output_names
        if inputs.keys() != self._names:
            raise self._other(inputs)
        rows = len(next(iter(inputs.values())))
        if rows == 0 or any(len(array) != rows for array in inputs.values()):
            raise _uneven(inputs)
        if rows <= MAX_ROWS:
            given = self._columns.join(inputs, rows) if self._columns else dict(inputs)
            if rows > 1:
                return dict(zip(names, self.session.run(names, given), strict=True))
            pair = self._pair()
            for name, array in given.items():
                pair.inputs[name][:] = array
            return pair.run(names)
        end = math.inf if timeout is None else time.monotonic() + timeout
        parts = []
        for start in range(0, rows, MAX_ROWS):
            if time.monotonic() > end:
                raise TimeoutError(f"{start} of {rows} rows were computed in {timeout} s")
            parts.append(
                self.run({name: array[start : start + MAX_ROWS] for name, array in inputs.items()}, names)
            )
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def run_row(self, columns: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """The flat values of all outputs for one row, from the flat values of all inputs [1, width].

        Inputs and outputs are in the bundle's order. It gives what `run` gives, and makes no arrays. There
        must be a column for each input, of values of its type.
        Raises struct.error or OverflowError for a number that an input cannot hold, ValueError for an output
        of another shape than the bundle declares.
        """
        pair = self._pair()
        pair.fill(columns if self._columns is None else (self._columns.row(columns),))
        return pair.values()

    def close(self) -> None:
        """Nothing to do: the session goes with the last call that uses it."""

    def _other(self, inputs: Iterable[str]) -> ValueError:
        missing = sorted(self._names.difference(inputs))
        if missing:
            return ValueError(f"inputs are missing, {missing[0]!r} among them; got {sorted(inputs)}")
        return ValueError(f"there are inputs that the model does not take; got {sorted(inputs)}")

    def _pair(self) -> Pair:
        """This thread's."""
        try:
            pair: Pair = self._local.pair
        except AttributeError:
            pair = self._local.pair = Pair(self.session, self._taken, self.outputs)
        return pair


def _uneven(inputs: Mapping[str, np.ndarray]) -> ValueError:
    counts = sorted({len(array) for array in inputs.values()})
    return ValueError(f"every input needs the same number of rows, at least one; got {counts}")


def _check(kind: str, declared: tuple[Tensor, ...], actual: Sequence[ort.NodeArg]) -> None:
    by_name = {node.name: node for node in actual}
    for tensor in declared:
        node = by_name.get(tensor.name)
        if node is None:
            raise InvalidBundle(f"{MODEL} has no {kind} {tensor.name!r}; it has {sorted(by_name)}")
        datatype = _ONNX_TYPES.get(node.type, node.type)
        if datatype != tensor.datatype:
            raise InvalidBundle(
                f"{kind} {tensor.name!r} is {datatype} in {MODEL}, {tensor.datatype} in the bundle"
            )
        if kind == "output" and not node.shape:
            continue  # a converter may leave an output's shape open
        if len(node.shape) != len(tensor.shape) or any(
            isinstance(size, int) and size not in (-1, want)
            for size, want in zip(node.shape, tensor.shape, strict=False)
        ):
            raise InvalidBundle(
                f"{kind} {tensor.name!r} is {node.shape} in {MODEL}, {list(tensor.shape)} in the bundle"
            )
