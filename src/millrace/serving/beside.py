"""Answers of a process beside the server: how large they may be, and whether they are as declared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from millrace.models import Tensor
from millrace.models.tensors import DATATYPES
from millrace.serving.python.child.millrace_process import frames

#: Bytes of an answer beyond what its signature takes (a wrong one is still told by its shape), and of the
#: texts of an output: the model may lie, and its answer is in the memory of the server, which others need.
SLACK_BYTES = 1 << 20
TEXT_BYTES = 16 << 20
Arrays = dict[str, NDArray[Any]]


def most_bytes(declared: Sequence[Tensor], rows: int) -> int:
    """Bytes that an answer with these outputs may have."""
    most = SLACK_BYTES
    for tensor in declared:
        values = rows * math.prod(tensor.shape[1:])
        if tensor.datatype == "BYTES":
            most += frames.LENGTH_BYTES * values + TEXT_BYTES
        else:
            most += DATATYPES[tensor.datatype].itemsize * values
    return most


def checked(found: Mapping[str, NDArray[Any]], declared: Sequence[Tensor], rows: int, who: str) -> Arrays:
    """The outputs that `who` sent; raises RuntimeError when they are of another signature."""
    for tensor in declared:
        array, wanted = found.get(tensor.name), (rows, *tensor.shape[1:])
        if array is None or array.shape != wanted or array.dtype != DATATYPES[tensor.datatype]:
            got = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
            raise RuntimeError(
                f"{who} gave {got} as {tensor.name!r}, "
                f"which is {tensor.datatype} {list(wanted)} by its signature"
            )
    return {tensor.name: found[tensor.name] for tensor in declared}
