"""What the V2 protocol takes, and what it says of requests that it does not take."""

import json
from typing import Any

import numpy as np
import pytest

from millrace.models import Tensor
from millrace.serving.calls import Signature
from millrace.serving.errors import BadRequest
from millrace.serving.v2 import decode_request
from tests.unit.serving.v2_requests import SIGNATURE, answer, call, one_row, read, request


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
        ({"wide": {"shape": ["2", 3]}}, ["'wide'", "Expected `int`, got `str`", "shape[0]"]),
        ({"x": {"datatype": 5}}, ["'x'", "Expected `str`, got `int`", "datatype"]),
        ({"flag": {"data": [True, 1]}}, ["'flag'", "1 at 1", "true or false"]),
    ],
)
def test_a_wrong_input_is_named_with_what_is_wrong(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(request(**change))
    for word in words:
        assert word in str(caught.value)


def test_one_row_of_every_datatype_is_as_the_first_of_two() -> None:
    arrays = read(one_row())
    for name, array in read(request()).items():
        np.testing.assert_array_equal(arrays[name], array[:1])
        assert arrays[name].dtype == array.dtype


def with_input(name: str, /, **changes: Any) -> bytes:
    """One row with changes of an input."""
    content = one_row()
    next(each for each in content["inputs"] if each["name"] == name).update(changes)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("x", {"shape": [2, 1]}),
        ("x", {"shape": []}),
        ("x", {"data": [1, 2]}),
        ("x", {"data": []}),
        ("x", {"datatype": "FP32"}),
        ("wide", {"shape": [1, 1]}),
        ("wide", {"shape": [3, 1]}),
        ("wide", {"data": [1, 2]}),
        ("wide", {"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}),
        ("x", {"parameters": 5}),
    ],
)
def test_one_row_of_another_shape_or_number_is_refused(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"'x'|'wide'"):
        call(SIGNATURE, with_input(name, **changes))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("x", "2.5", ["'2.5' at 0", "numbers"]),
        ("x", True, ["True at 0", "numbers"]),
        ("x", None, ["null at 0"]),
        ("count", 1.5, ["1.5 at 0", "whole numbers"]),
        ("count", 128, ["range of INT8"]),
        ("kind", 1, ["1 at 0", "strings"]),
        ("flag", 1, ["1 at 0", "true or false"]),
    ],
)
def test_in_one_row_each_value_is_of_its_own_kind(name: str, value: Any, words: list[str]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(one_row(**{name: value}))
    for word in [f"'{name}'", *words]:
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
        call(SIGNATURE, body)


def test_null_is_a_missing_value_where_the_model_was_verified_with_one() -> None:
    signature = Signature([Tensor("x", "FP32", (-1, 1))], SIGNATURE_OUTPUTS, nullable={"x"})
    content = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "data": [1, None, 2.5]}]}
    array = call(signature, json.dumps(content).encode()).inputs["x"]
    np.testing.assert_array_equal(array, np.array([[1], [np.nan], [2.5]], dtype=np.float32))


SIGNATURE_OUTPUTS = [Tensor("score", "FP64", (-1, 1))]


def outputs_of(outputs: list[Any], **more: Any) -> bytes:
    return json.dumps(request() | {"outputs": outputs} | more).encode()


def test_outputs_are_those_asked_for() -> None:
    assert call(SIGNATURE, outputs_of([{"name": "label"}])).outputs == ["label"]
    assert call(SIGNATURE, outputs_of([])).outputs == ["score", "label"]


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([{"name": "z"}], "'z' is unknown, the model has score, label"),
        ([{"name": "score"}, {"name": "score"}], "twice"),
        ([{"name": "score", "parameters": {"classification": 2}}], "classification"),
    ],
)
def test_wrong_outputs_are_refused(outputs: list[Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        call(SIGNATURE, outputs_of(outputs))


def test_answer_echoes_id_and_parameters_and_writes_what_json_cannot_as_null() -> None:
    asked = call(
        SIGNATURE, outputs_of([], id="7", parameters={"a": {"b": [1.5]}, "binary_data_output": False})
    )
    assert json.loads(answer(asked, score=np.array([[1.5], [np.nan]])).body) == {
        "model_name": "m",
        "model_version": "3",
        "id": "7",
        "parameters": {"a": {"b": [1.5]}},
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [2, 1], "data": [1.5, None]}],
    }
    assert json.loads(answer(call(SIGNATURE, outputs_of([]))).body).keys() == {
        "model_name", "model_version", "outputs",
    }  # fmt: skip


def test_an_error_does_not_repeat_all_that_was_sent() -> None:
    for change in ({"x": {"name": "n" * 100_000}}, {"x": {"shape": [1] * 100_000}}):
        with pytest.raises(BadRequest) as caught:
            read(request(**change))
        assert len(str(caught.value)) < 400
