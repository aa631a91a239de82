"""What a model is asked, and what it answered, whatever protocol carries it."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec
from numpy.typing import NDArray

from millrace.models import Tensor
from millrace.serving.errors import BadRequest, Unanswered, brief
from millrace.serving.http import Request, Response
from millrace.serving.tensors import InputReader


class Call(msgspec.Struct, gc=False):
    """Arrays of all inputs, [rows, ...] each, and the names of the outputs to compute.

    `request` is what the protocol read, for writing the answer.
    """

    inputs: dict[str, NDArray[Any]]
    outputs: Sequence[str]
    rows: int
    request: Any = None


class Answer(msgspec.Struct, gc=False):
    """Outputs by name. `fallback` says what answered in the model's place, and `reason` why."""

    model: str
    version: str
    outputs: dict[str, NDArray[Any]]
    fallback: str = ""
    reason: str = ""


class Codec(Protocol):
    """One protocol, for one model."""

    def read(self, request: Request) -> Call:
        """Raises `Unanswered`."""

    def write(self, call: Call, answer: Answer) -> Response: ...

    def refuse(self, error: Unanswered) -> Response: ...


class Signature:
    """The inputs and outputs of a model version."""

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        nullable: Iterable[str] = (),
        max_rows: int = 20_000,
    ) -> None:
        """`nullable` names the floating-point inputs in which null means a missing value."""
        missing = set(nullable)
        self.inputs = {t.name: InputReader(t.name, t.datatype, t.shape, t.name in missing) for t in inputs}
        self.outputs = {t.name: t for t in outputs}
        self.output_names = list(self.outputs)
        self.max_rows = max_rows

    def input(self, name: str) -> InputReader:
        """Raises `BadRequest` when there is no such input."""
        reader = self.inputs.get(name)
        if reader is None:
            raise BadRequest(f"input '{brief(name)}' is unknown, the model takes {', '.join(self.inputs)}")
        return reader

    def call(self, given: Iterable[tuple[str, NDArray[Any]]], outputs: Sequence[str], request: Any) -> Call:
        """All inputs, each once and all of as many rows; raises `BadRequest`."""
        arrays: dict[str, NDArray[Any]] = {}
        rows = 0
        for name, array in given:
            if name in arrays:
                raise BadRequest(f"input '{name}' is there twice")
            if rows not in (0, array.shape[0]):
                raise BadRequest(
                    f"input '{name}' has {array.shape[0]} rows, input '{next(iter(arrays))}' has {rows}"
                )
            arrays[name] = array
            rows = array.shape[0]
        if len(arrays) != len(self.inputs):
            missing = next(name for name in self.inputs if name not in arrays)
            raise BadRequest(f"input '{missing}' is missing, the model takes {', '.join(self.inputs)}")
        return Call(arrays, outputs, rows, request)

    def wanted(self, names: Sequence[str]) -> Sequence[str]:
        """The outputs to compute, all when none is named; raises `BadRequest`."""
        if not names:
            return self.output_names
        for name in names:
            if name not in self.outputs:
                raise BadRequest(
                    f"output '{brief(name)}' is unknown, the model has {', '.join(self.outputs)}"
                )
        if len(set(names)) != len(names):
            raise BadRequest("an output is asked for twice")
        return names
