"""V1, as TensorFlow Serving's and KServe's clients speak it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.models import Tensor
from millrace.serving.calls import Answer, Call, Signature
from millrace.serving.errors import BadRequest
from millrace.serving.http import Request
from millrace.serving.v1 import V1
from tests.unit.serving.running import Running

SIGNATURE = Signature(
    [
        Tensor("x", "FP64", (-1, 1)),
        Tensor("wide", "FP32", (-1, 2)),
        Tensor("kind", "BYTES", (-1, 1)),
        Tensor("count", "INT8", (-1,)),
    ],
    [Tensor("score", "FP64", (-1,)), Tensor("label", "BYTES", (-1, 1))],
    nullable=["x"],
    max_rows=10,
)
ONE = Signature([Tensor("X", "FP32", (-1, 3))], [Tensor("y", "FP32", (-1, 1))], max_rows=10)
IMAGE = Signature([Tensor("X", "FP32", (-1, 2, 2))], [Tensor("y", "FP32", (-1, 1))], max_rows=10)
OBJECTS = [
    {"x": 1, "wide": [1, 2], "kind": "a", "count": 1},
    {"count": 2, "kind": "ü", "wide": [3, 4.5], "x": 2.5},
]
# In the order of the second object's columns.
SPLIT = [[1, "a", [1, 2], 1], [2, "ü", [3, 4.5], 2.5]]
LISTS = [[1, [1, 2], "a", 1], [2.5, [3, 4.5], "ü", 2]]


def call(signature: Signature, content: Any) -> Call:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return V1(signature, 4096).read(Request(b"POST", b"/", {}, body))


@pytest.mark.parametrize(
    "content",
    [
        {"instances": OBJECTS},
        {"instances": LISTS},
        {"instances": [OBJECTS[0], LISTS[1]]},
        {"signature_name": "serving_default", "instances": OBJECTS},
        {"instances": [[[1], [1, 2], ["a"], 1], [[2.5], [3, 4.5], ["ü"], 2]]},
        {"instances": [OBJECTS[0], OBJECTS[1] | {"kind": {"b64": base64.b64encode("ü".encode()).decode()}}]},
        {"inputs": {"x": [1, 2.5], "wide": [[1, 2], [3, 4.5]], "kind": ["a", "ü"], "count": [1, 2]}},
        {"dataframe_records": OBJECTS},
        {"dataframe_split": {"columns": list(OBJECTS[1]), "index": [0, 1], "data": SPLIT}},
        {"inputs": {"count": [1, 2], "x": [[1], [2.5]], "wide": [[1, 2], [3, 4.5]], "kind": [["a"], ["ü"]]}},
    ],
)
def test_rows_and_columns_are_the_same_request(content: dict[str, Any]) -> None:
    got = call(SIGNATURE, content)
    assert got.rows == 2
    assert {name: (a.dtype.kind, a.shape) for name, a in got.inputs.items()} == {
        "x": ("f", (2, 1)), "wide": ("f", (2, 2)), "kind": ("O", (2, 1)), "count": ("i", (2,)),
    }  # fmt: skip
    assert got.inputs["x"].tolist() == [[1.0], [2.5]]
    assert got.inputs["wide"].tolist() == [[1.0, 2.0], [3.0, 4.5]]
    assert got.inputs["kind"].tolist() == [["a"], ["ü"]]
    assert got.inputs["count"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("signature", "content", "values"),
    [
        (ONE, {"instances": [[1, 2, 3], [4, 5, 6]]}, [[1, 2, 3], [4, 5, 6]]),
        (ONE, {"instances": [{"X": [1, 2, 3]}]}, [[1, 2, 3]]),
        (ONE, {"inputs": [[1, 2, 3]]}, [[1, 2, 3]]),
        (ONE, {"inputs": {"X": [[1, 2, 3]]}}, [[1, 2, 3]]),
        (IMAGE, {"instances": [[[1, 2], [3, 4]]]}, [[[1, 2], [3, 4]]]),
        (IMAGE, {"instances": [{"X": [1, 2, 3, 4]}]}, [[[1, 2], [3, 4]]]),
        (IMAGE, {"inputs": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]}, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
    ],
)
def test_a_model_of_one_input_needs_no_name(signature: Signature, content: Any, values: Any) -> None:
    assert call(signature, content).inputs["X"].tolist() == values


def test_null_is_a_missing_value_where_the_model_knows_one() -> None:
    got = call(SIGNATURE, {"instances": [OBJECTS[0] | {"x": None}]})
    assert np.isnan(got.inputs["x"]).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", '"instances"'),
        ({"instances": OBJECTS, "inputs": {}}, '"instances"'),
        ({"instances": OBJECTS, "dataframe_records": OBJECTS}, '"instances"'),
        ({"instances": OBJECTS, "dataframe_split": {}}, '"instances"'),
        ({"instances": []}, "at least one row"),
        ({"instances": {}}, "at least one row"),
        ({"instances": [5]}, "instance 0 is neither an object of x, wide, kind, count nor a list of 4"),
        ({"instances": [LISTS[0], [1, 2]]}, "instance 1 is neither"),
        ({"instances": [{"x": 1}]}, "instance 0 has no 'wide'"),
        ({"instances": [OBJECTS[0], OBJECTS[0] | {"z": 1}]}, "instance 1 has 'z'"),
        ({"instances": [OBJECTS[0] | {"x": "1"}]}, "'x' holds '1' at 0"),
        ({"instances": [OBJECTS[0] | {"x": {"b64": "YQ=="}}]}, "'x' holds"),
        ({"instances": [OBJECTS[0] | {"kind": {"b64": "?"}}]}, "'kind' holds a b64"),
        ({"instances": [OBJECTS[0] | {"kind": None}]}, "'kind' holds null"),
        ({"instances": [OBJECTS[0] | {"wide": [1]}]}, "'wide' has 1 values in instance 0"),
        ({"instances": [OBJECTS[0] | {"wide": 1}]}, "'wide' has a value in instance 0 that does not nest"),
        ({"instances": [OBJECTS[0], OBJECTS[0] | {"wide": [[1], [2]]}]}, "'wide' holds"),
        ({"instances": [OBJECTS[0] | {"count": 200}]}, "'count' holds a number out of the range of INT8"),
        (
            {"instances": [OBJECTS[0] | {"wide": [1, 1e300]}]},
            "'wide' holds a number out of the range of FP32",
        ),
        ({"instances": [OBJECTS[0]] * 11}, "11 rows, a request may have 10"),
        ({"dataframe_records": []}, "dataframe_records is not a list of at least one row"),
        ({"dataframe_split": 1}, "dataframe_split is not as"),
        ({"dataframe_split": {"columns": ["x", "x"], "data": []}}, "not different names"),
        ({"dataframe_split": {"columns": ["x"], "data": [[1], [1, 2]]}}, "row 1 of dataframe_split"),
        ({"dataframe_split": {"columns": ["x"], "data": [[1]]}}, "instance 0 has no 'wide'"),
        ({"inputs": [1]}, "inputs is no object"),
        ({"inputs": {"z": [1]}}, "'z' is unknown"),
        ({"inputs": {"x": [1]}}, "'wide' is missing"),
        ({"inputs": {"x": [1], "wide": [[1, 2]] * 2, "kind": ["a"], "count": [1]}}, "'wide' has 2 rows"),
        ({"inputs": {"x": [1] * 11, "wide": [], "kind": [], "count": []}}, "11 rows"),
        (b'{"instances": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_named(content: Any, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        call(SIGNATURE, content)
    assert words in str(caught.value)


def test_predictions_come_by_row_and_outputs_by_column() -> None:
    outputs = {"score": np.array([1.5, np.nan]), "label": np.array([["a"], ["b"]], dtype=object)}
    answer = Answer("m", "1", outputs)
    codec = V1(SIGNATURE, 4096)
    by_row = codec.write(call(SIGNATURE, {"instances": OBJECTS}), answer)
    assert json.loads(by_row.body) == {
        "predictions": [{"score": 1.5, "label": ["a"]}, {"score": None, "label": ["b"]}]
    }
    columns = {"x": [1, 2.5], "wide": [[1, 2], [3, 4.5]], "kind": ["a", "b"], "count": [1, 2]}
    by_column = codec.write(call(SIGNATURE, {"inputs": columns}), answer)
    assert json.loads(by_column.body) == {"outputs": {"score": [1.5, None], "label": [["a"], ["b"]]}}
    single = V1(ONE, 4096).write(
        call(ONE, {"instances": [[1, 2, 3]]}), Answer("m", "1", {"y": np.array([[0.5]])})
    )
    assert json.loads(single.body) == {"predictions": [[0.5]]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.end()


def test_v1_over_http(server: Running) -> None:
    instances = {"instances": [{"x": 1.5, "kind": "a", "count": 3}]}
    for path in (
        "/v1/models/tiny:predict",
        "/v1/models/tiny/versions/1:predict",
        "/v1/models/tiny%3Apredict",
    ):
        answer = server.ask("POST", path, json=instances)
        assert answer.json() == {"predictions": [{"score": [3.0], "label": ["a"], "number": [3]}]}
    assert server.ask("POST", "/v1/models/tiny:predict", json={}).status_code == 400
    status = {
        "name": "tiny",
        "ready": True,
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ],
    }
    assert server.ask("GET", "/v1/models/tiny").json() == status
    assert server.ask("GET", "/v1/models/tiny/versions/1").json() == status
    assert server.ask("GET", "/v1/models").json() == {"models": ["tiny"]}
