"""A model's signature and requests of V2 for it, valid until a test changes them."""

import json
from typing import Any

from millrace.models import Tensor
from millrace.serving.calls import Answer, Call, Signature
from millrace.serving.http import Request, Response
from millrace.serving.v2 import V2

SIGNATURE = Signature(
    [
        Tensor("x", "FP64", (-1, 1)),
        Tensor("wide", "FP32", (-1, 3)),
        Tensor("kind", "BYTES", (-1, 1)),
        Tensor("count", "INT8", (-1, 1)),
        Tensor("flag", "BOOL", (-1, 1)),
    ],
    [Tensor("score", "FP64", (-1, 1)), Tensor("label", "BYTES", (-1, 1))],
    max_rows=10,
)


def call(signature: Signature, body: bytes, **headers: str) -> Call:
    """What a request says; `headers` have _ for -."""
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return V2(signature, 4096).read(Request(b"POST", b"/", given, body))


def answer(call: Call, **outputs: Any) -> Response:
    return V2(SIGNATURE, 4096).write(call, Answer("m", "3", outputs))


def request(**changes: Any) -> dict[str, Any]:
    """A valid request of two rows; `changes` are of its inputs, None takes one away."""
    inputs: dict[str, Any] = {
        "x": {"name": "x", "datatype": "FP64", "shape": [2, 1], "data": [1, 2.5]},
        "wide": {"name": "wide", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]},
        "kind": {"name": "kind", "datatype": "BYTES", "shape": [2, 1], "data": ["a", "ü"]},
        "count": {"name": "count", "datatype": "INT8", "shape": [2, 1], "data": [1, -2]},
        "flag": {"name": "flag", "datatype": "BOOL", "shape": [2, 1], "data": [True, False]},
    }
    for name, change in changes.items():
        if change is None:
            del inputs[name]
        else:
            inputs[name] |= change
    return {"inputs": list(inputs.values())}


def one_row(**values: Any) -> dict[str, Any]:
    """The first row of `request()` with other values of inputs that take one."""
    inputs = request()["inputs"]
    for given in inputs:
        width = given["shape"][1]
        given |= {"shape": [1, width], "data": given["data"][:width]}
        if given["name"] in values:
            given["data"] = [values[given["name"]]]
    return {"inputs": inputs}


def read(content: dict[str, Any]) -> dict[str, Any]:
    return call(SIGNATURE, json.dumps(content).encode()).inputs
