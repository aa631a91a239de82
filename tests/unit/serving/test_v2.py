"""What the V2 protocol takes, and what it says of requests that it does not take."""

import gzip
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from millrace.models import Tensor
from millrace.models.tensors import DATATYPES
from millrace.serving.calls import Answer, Call, Row, Signature
from millrace.serving.errors import BadRequest, Unanswered
from millrace.serving.http import Request, Response
from millrace.serving.v2 import V2, decode_request

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


def test_one_row_is_taken_as_it_was_read() -> None:
    for shape in ([1], [1, 1]):
        taken = call(SIGNATURE, with_input("x", shape=shape, data=[2])).given
        assert isinstance(taken, Row)
        assert taken.values == {"x": [2.0], "wide": [1, 2, 3], "kind": ["a"], "count": [1], "flag": [True]}
    assert isinstance(call(SIGNATURE, json.dumps(request()).encode()).given, dict)


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


NUMBERS = sorted(set(DATATYPES) - {"BYTES", "BOOL"})


@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_numeric_type_comes_as_json_and_as_bytes(datatype: str) -> None:
    signature = Signature([Tensor("n", datatype, (-1, 2))], [Tensor("n", datatype, (-1, 2))])
    values = np.array([[1, 2], [3, 100]], DATATYPES[datatype])
    declared = {"name": "n", "datatype": datatype, "shape": [2, 2]}
    as_json = call(signature, json.dumps({"inputs": [declared | {"data": values.ravel().tolist()}]}).encode())
    blob = values.tobytes()
    head = json.dumps({"inputs": [declared | {"parameters": {"binary_data_size": len(blob)}}]}).encode()
    as_bytes = call(signature, head + blob, inference_header_content_length=str(len(head)))
    for each in (as_json, as_bytes):
        np.testing.assert_array_equal(each.inputs["n"], values)
        assert each.inputs["n"].dtype == values.dtype
        assert each.inputs["n"].flags.aligned
    written = V2(signature, 4096).write(as_json, Answer("m", "1", {"n": values}))
    assert json.loads(written.body)["outputs"][0]["data"] == values.ravel().tolist()


def binary(content: dict[str, Any], *blobs: bytes) -> tuple[bytes, dict[str, str]]:
    head = json.dumps(content).encode()
    return head + b"".join(blobs), {"inference_header_content_length": str(len(head))}


def texts(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)


def mixed() -> tuple[dict[str, Any], list[bytes]]:
    """A request whose inputs come as bytes, but for one."""
    content = request()
    blobs = []
    data = {"x": np.array([1, 2.5]).tobytes(), "kind": texts("a", "\u00fc"), "flag": b"\x01\x00"}
    for each in content["inputs"]:
        if each["name"] in data:
            del each["data"]
            each["parameters"] = {"binary_data_size": len(data[each["name"]])}
            blobs.append(data[each["name"]])
    return content, blobs


def test_inputs_may_come_as_bytes_beside_json() -> None:
    content, blobs = mixed()
    body, headers = binary(content, *blobs)
    for name, array in call(SIGNATURE, body, **headers).inputs.items():
        np.testing.assert_array_equal(array, read(request())[name])


@pytest.mark.parametrize(
    ("content", "as_bytes"),
    [
        ({"outputs": [{"name": "score", "parameters": {"binary_data": True}}, {"name": "label"}]}, {"score"}),
        ({"parameters": {"binary_data_output": True}}, {"score", "label"}),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "score"}, {"name": "label", "parameters": {"binary_data": False}}],
            },
            {"score"},
        ),
    ],
)
def test_outputs_come_as_bytes_where_that_is_asked_for(content: dict[str, Any], as_bytes: set[str]) -> None:
    asked = call(SIGNATURE, json.dumps(request() | content).encode())
    score, label = np.array([[1.5], [np.nan]]), np.array([["a"], ["\u00fc"]], dtype=object)
    response = answer(asked, score=score, label=label)
    headers = dict(response.headers)
    size = int(headers[b"inference-header-content-length"])
    assert response.content_type == b"application/octet-stream"
    content = json.loads(response.body[:size])
    blob = response.body[size:]
    for output, wanted in zip(content["outputs"], (score.tobytes(), texts("a", "\u00fc")), strict=True):
        assert ("data" in output) == (output["name"] not in as_bytes)
        if output["name"] in as_bytes:
            assert blob[: output["parameters"]["binary_data_size"]] == wanted
            blob = blob[len(wanted) :]
    assert blob == b""


def test_a_body_of_bytes_alone_is_for_a_model_with_one_input() -> None:
    signature = Signature([Tensor("n", "FP32", (-1, 2))], [Tensor("n", "FP32", (-1, 2))])
    values = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    got = call(signature, values.tobytes(), inference_header_content_length="0")
    np.testing.assert_array_equal(got.inputs["n"], values)
    written = V2(signature, 4096).write(got, Answer("m", "1", {"n": values}))
    assert written.body.endswith(values.tobytes())
    with pytest.raises(BadRequest, match="one numeric input"):
        call(SIGNATURE, b"", inference_header_content_length="0")
    with pytest.raises(BadRequest, match="25 bytes"):
        call(signature, values.tobytes() + b"!", inference_header_content_length="0")


@pytest.mark.parametrize(
    ("size", "change", "words"),
    [
        ("99999", {}, "is 99999, the body has"),
        ("-1", {}, "is -1"),
        (None, {"parameters": {"binary_data_size": 15}}, "'x' has 15 bytes, its shape"),
        (None, {"parameters": {"binary_data_size": 10**9}}, "'x' has 1000000000 bytes"),
        (None, {"parameters": {"binary_data_size": -1}}, "'x' has binary_data_size -1"),
        (None, {"parameters": {"binary_data_size": "16"}}, "'x' has binary_data_size '16'"),
        (None, {"parameters": {}}, "'x' has no data"),
        (None, {"data": [1, 2.5]}, "16 bytes of binary data belong to no input"),
    ],
)
def test_wrong_lengths_are_told(size: str | None, change: dict[str, Any], words: str) -> None:
    content = request(x=change | ({} if "data" in change else {"data": None}))
    if "data" not in change:
        del content["inputs"][0]["data"]
    body, headers = binary(content, np.array([1, 2.5]).tobytes())
    if size:
        headers["inference_header_content_length"] = size
    with pytest.raises(BadRequest, match=words):
        call(SIGNATURE, body, **headers)


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (texts("a"), "has 1 texts"),
        (texts("a", "b", "c"), "has 3 texts"),
        (texts("a") + b"\x05\x00\x00", "ends within the length of text 1"),
        (texts("a") + b"\xff\xff\xff\xff!", "ends within text 1, which should have 4294967295"),
        (texts("a") + b"\x01\x00\x00\x00\xff", "at 1 that are not UTF-8"),
    ],
)
def test_damaged_texts_are_told(blob: bytes, words: str) -> None:
    content = request(kind={"parameters": {"binary_data_size": len(blob)}})
    del next(each for each in content["inputs"] if each["name"] == "kind")["data"]
    body, headers = binary(content, blob)
    with pytest.raises(BadRequest, match=f"'kind'.*{words}"):
        call(SIGNATURE, body, **headers)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP", "identity"])
def test_bodies_may_be_packed(encoding: str) -> None:
    body = json.dumps(request()).encode()
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding.lower(), bytes)
    got = call(SIGNATURE, pack(body), content_encoding=encoding)
    np.testing.assert_array_equal(got.inputs["x"], [[1.0], [2.5]])


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b" " * 100_000_000), "gzip", 413),
        (gzip.compress(b" " * 3000) * 2, "gzip", 413),
        (zlib.compress(b" " * 4097), "deflate", 413),
        (gzip.compress(b"{}")[:-3], "gzip", 400),
        (b"{}", "gzip", 400),
        (b"{}", "deflate", 400),
        (b"{}", "br", 415),
    ],
    ids=["bomb", "members", "one too many", "cut", "not gzip", "not deflate", "unknown"],
)
def test_packed_bodies_are_bounded_and_whole(body: bytes, encoding: str, status: int) -> None:
    with pytest.raises(Unanswered) as caught:
        call(SIGNATURE, body, content_encoding=encoding)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("accepted", "unpack"),
    [
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("br, gzip;q=0.5", gzip.decompress),
        ("br, gzip;q=0", bytes),
        ("identity", bytes),
    ],
)
def test_large_answers_are_packed_for_who_can_read_that(accepted: str, unpack: Any) -> None:
    asked = call(SIGNATURE, json.dumps(request()).encode(), accept_encoding=accepted)
    response = answer(asked, score=np.full((3000, 1), 1.5))
    assert len(json.loads(unpack(response.body))["outputs"][0]["data"]) == 3000
    assert (b"vary", b"accept-encoding") in response.headers or unpack is bytes
    assert not answer(asked, score=np.array([[1.5]])).headers


def test_an_error_does_not_repeat_all_that_was_sent() -> None:
    for change in ({"x": {"name": "n" * 100_000}}, {"x": {"shape": [1] * 100_000}}):
        with pytest.raises(BadRequest) as caught:
            read(request(**change))
        assert len(str(caught.value)) < 400
