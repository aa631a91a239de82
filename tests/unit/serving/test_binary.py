"""Binary tensors of V2: what is taken, what is written, and what is said of wrong ones."""

import json
import struct
from typing import Any

import numpy as np
import pytest

from millrace.models import Tensor
from millrace.models.tensors import DATATYPES
from millrace.serving.calls import Answer, Signature
from millrace.serving.errors import BadRequest
from millrace.serving.v2 import V2
from tests.unit.serving.v2_requests import SIGNATURE, answer, call, read, request

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
