"""What the V2 protocol takes, and what it says of requests that it does not take."""

import json
from typing import Any

import numpy as np
import pytest

from millrace.models import Tensor
from millrace.serving.protocol import BadRequest, Signature, decode_request

SIGNATURE = Signature(
    [
        Tensor("x", "FP64", (-1, 1)),
        Tensor("wide", "FP32", (-1, 3)),
        Tensor("kind", "BYTES", (-1, 1)),
        Tensor("count", "INT8", (-1, 1)),
        Tensor("flag", "BOOL", (-1, 1)),
    ],
    [Tensor("score", "FP64", (-1, 1)), Tensor("label", "BYTES", (-1, 1))],
)


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


def read(content: dict[str, Any]) -> dict[str, Any]:
    return SIGNATURE.read(decode_request(json.dumps(content).encode()), max_rows=10)


def test_every_datatype_arrives_as_its_own() -> None:
    arrays = read(request())
    assert {name: (a.dtype.kind, a.shape) for name, a in arrays.items()} == {
        "x": ("f", (2, 1)), "wide": ("f", (2, 3)), "kind": ("O", (2, 1)), "count": ("i", (2, 1)),
        "flag": ("b", (2, 1)),
    }  # fmt: skip
    assert arrays["x"].tolist() == [[1.0], [2.5]]
    assert arrays["kind"].tolist() == [["a"], ["ü"]]
    assert arrays["wide"].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "change",
    [
        {"x": {"shape": [2]}},
        {"x": {"data": [[1], [2.5]]}},
        {"x": {"shape": [2], "data": [1, 2.5]}},
        {"kind": {"data": [["a"], ["ü"]]}},
        {"wide": {"data": [[1, 2, 3], [4, 5, 6]]}},
    ],
)
def test_columns_and_nested_rows_are_the_same_request(change: dict[str, Any]) -> None:
    for name, array in read(request(**change)).items():
        np.testing.assert_array_equal(array, read(request())[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": None}, ["'x' is missing", "x, wide"]),
        ({"x": {"name": "z"}}, ["'z' is unknown", "x, wide"]),
        ({"wide": {"name": "x", "datatype": "FP64", "shape": [2], "data": [1, 2]}}, ["'x' is there twice"]),
        ({"x": {"datatype": "FP32"}}, ["'x'", "FP32", "FP64"]),
        ({"x": {"shape": [2, 2], "data": [1, 2, 3, 4]}}, ["'x'", "[2, 2]", "[-1, 1]"]),
        ({"x": {"shape": []}}, ["'x'", "[]"]),
        ({"x": {"shape": [0, 1], "data": []}}, ["'x'", "[0, 1]"]),
        ({"x": {"shape": [-2, 1]}}, ["'x'", "[-2, 1]"]),
        ({"wide": {"shape": [6]}}, ["'wide'", "[6]", "[-1, 3]"]),
        ({"x": {"data": [1]}}, ["'x'", "1 values", "2"]),
        ({"x": {"shape": [3, 1], "data": [1, 2, 3]}}, ["'wide' has 2 rows", "'x' has 3"]),
        ({"x": {"shape": [11, 1], "data": [1] * 11}}, ["'x'", "11 rows", "10"]),
        ({"x": {"data": [1, "2.5"]}}, ["'x'", "'2.5' at 1", "numbers"]),
        ({"x": {"data": [1, None]}}, ["'x'", "null at 1"]),
        ({"x": {"data": [1, True]}}, ["'x'", "True at 1"]),
        ({"x": {"data": [[1], [2, 3]]}}, ["'x'", "nest", "at 1"]),
        ({"x": {"data": [[1], 2]}}, ["'x'", "nest", "at 1"]),
        ({"x": {"data": {"a": 1}}}, ["'x'", "not a list"]),
        ({"x": {"data": "12"}}, ["'x'", "not a list"]),
        ({"count": {"data": [1.5, 2]}}, ["'count'", "1.5 at 0", "whole numbers"]),
        ({"count": {"data": [1, 128]}}, ["'count'", "range of INT8"]),
        ({"count": {"data": [1, 10**30]}}, ["'count'", "range of INT8"]),
        ({"wide": {"data": [1, 2, 3, 4, 5, 1e300]}}, ["'wide'", "range of FP32"]),
        ({"kind": {"data": ["a", 1]}}, ["'kind'", "1 at 1", "strings"]),
        ({"flag": {"data": [True, 1]}}, ["'flag'", "1 at 1", "true or false"]),
    ],
)
def test_a_wrong_input_is_named_with_what_is_wrong(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(request(**change))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"inputs": 1}',
        b'{"inputs": [{"name": 1}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1.5], "data": []}]}',
        b'{"inputs": [], "id": 5}',
        b'{"inputs": [], "parameters": []}',
        b'{"inputs": []} {}',
        b'{"inputs": [{"name": "\xff"}]}',
        b'{"x": ' + b"[" * 100_000,
        b'{"inputs": ' + b'{"a":' * 100_000,
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="request is n"):
        decode_request(body)


@pytest.mark.parametrize(
    "data",
    [
        b"[NaN, 1]",
        b"[Infinity, 1]",
        b"[1e999, 1]",
        b'["\xff", 1]',
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 900 + b"]" * 900,
    ],
)
def test_data_that_is_no_json_or_no_number_is_refused(data: bytes) -> None:
    body = json.dumps(request(x={"data": 0})).encode().replace(b'"data": 0}', b'"data": ' + data + b"}", 1)
    with pytest.raises(BadRequest):
        SIGNATURE.read(decode_request(body), max_rows=10)


def test_null_is_a_missing_value_where_the_model_was_verified_with_one() -> None:
    signature = Signature([Tensor("x", "FP32", (-1, 1))], SIGNATURE_OUTPUTS, nullable={"x"})
    content = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "data": [1, None, 2.5]}]}
    array = signature.read(decode_request(json.dumps(content).encode()), 10)["x"]
    np.testing.assert_array_equal(array, np.array([[1], [np.nan], [2.5]], dtype=np.float32))


SIGNATURE_OUTPUTS = [Tensor("score", "FP64", (-1, 1))]


def test_outputs_are_those_asked_for() -> None:
    content = {"inputs": [], "outputs": [{"name": "label"}]}
    assert SIGNATURE.wanted(decode_request(json.dumps(content).encode())) == ["label"]
    assert SIGNATURE.wanted(decode_request(b'{"inputs": []}')) == ["score", "label"]


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([{"name": "z"}], "'z' is unknown, the model has score, label"),
        ([{"name": "score"}, {"name": "score"}], "twice"),
        ([{"name": "score", "parameters": {"binary_data": True}}], "binary"),
    ],
)
def test_wrong_outputs_are_refused(outputs: list[Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        SIGNATURE.wanted(decode_request(json.dumps({"inputs": [], "outputs": outputs}).encode()))


def test_answer_echoes_id_and_parameters_and_writes_what_json_cannot_as_null() -> None:
    asked = decode_request(b'{"inputs": [], "id": "7", "parameters": {"a": {"b": [1.50]}}}')
    body = SIGNATURE.answer("m", "3", asked, {"score": np.array([[1.5], [np.nan]])})
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "3",
        "id": "7",
        "parameters": {"a": {"b": [1.5]}},
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [2, 1], "data": [1.5, None]}],
    }
    assert json.loads(SIGNATURE.answer("m", "3", decode_request(b'{"inputs": []}'), {})).keys() == {
        "model_name", "model_version", "outputs",
    }  # fmt: skip
