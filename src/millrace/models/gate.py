"""The gate: a bundle is let through only if it reproduces its verification rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from millrace.models.bundle import Bundle
from millrace.models.tensors import Tensor

#: How far numbers may be from the framework's own, absolutely or, beyond 1, relatively.
TOLERANCE = {"FP64": 1e-9, "FP32": 1e-5, "FP16": 1e-3}
#: Outputs that hold labels even where the framework keeps them as whole floating-point numbers.
LABELS = {"prediction", "label"}


class VerificationFailed(Exception):
    """A bundle gives other answers than the training framework gave.

    `output`, `row` (counted from 0), `inputs` (column -> value), `expected` and `got` describe the first
    row that differs; `differing` of `rows` rows do.
    """

    def __init__(
        self,
        output: str,
        row: int,
        inputs: dict[str, Any],
        expected: Any,
        got: Any,
        differing: int,
        rows: int,
    ) -> None:
        self.output, self.row, self.inputs = output, row, inputs
        self.expected, self.got, self.differing, self.rows = expected, got, differing, rows
        super().__init__(
            f"output {output!r} differs from the training framework's in {differing} of {rows} verification "
            f"rows; the first is row {row}: inputs {inputs}, expected {expected}, got {got}"
        )


class Computes(Protocol):
    """A loaded model, whatever computes it."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


def verify(bundle: Bundle, session: Computes | None = None) -> None:
    """Return if the bundle reproduces its verification rows, else raise VerificationFailed.

    Integers, booleans, text and labels must be equal, numbers within TOLERANCE.
    `session` saves loading the model again. Raises InvalidBundle when the model does not load.
    """
    if session is None:
        # Only here: the server's runtimes build on this package.
        from millrace.serving.runtimes import load_runtime

        model = load_runtime(bundle)
        try:
            verify(bundle, model)
        finally:
            model.close()
        return
    verification = bundle.verification()
    got = session.run(verification.inputs)
    differing = {
        tensor.name: _differing(tensor, verification.outputs[tensor.name], got[tensor.name])
        for tensor in bundle.outputs
    }
    # Labels first: they tell more than the last digits of a probability.
    for tensor in sorted(bundle.outputs, key=lambda t: t.datatype in TOLERANCE and t.name not in LABELS):
        rows = np.flatnonzero(differing[tensor.name])
        if len(rows):
            row = int(rows[0])
            raise VerificationFailed(
                output=tensor.name,
                row=row,
                inputs={name: _plain(array[row]) for name, array in verification.inputs.items()},
                expected=_plain(verification.outputs[tensor.name][row]),
                got=_plain(got[tensor.name][row]),
                differing=len(rows),
                rows=verification.rows,
            )


def _differing(tensor: Tensor, expected: np.ndarray, got: np.ndarray) -> np.ndarray:
    """For every row, whether it differs."""
    if got.shape != expected.shape:
        return np.ones(len(expected), bool)
    tolerance = TOLERANCE.get(tensor.datatype)
    whole = tolerance is not None and bool(np.all(expected == np.trunc(expected)))
    if tolerance is None or (tensor.name in LABELS and whole):
        equal = expected == got
    else:
        allowed = tolerance * np.maximum(1, np.abs(np.nan_to_num(expected)))
        equal = np.isclose(got, expected, rtol=0, atol=allowed, equal_nan=True)
    return ~equal.reshape(len(expected), -1).all(axis=1)


def _plain(value: Any) -> Any:
    """A row of an array as Python values; a single one without its list."""
    values = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    return values[0] if isinstance(values, list) and len(values) == 1 else values
