"""The fast path says what the ordinary way says, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from millrace.models import Bundle, Tensor, write_bundle
from millrace.serving.calls import Codec, Signature
from millrace.serving.fast import Rows, widths
from millrace.serving.http import Request, Response
from millrace.serving.policy import Policy, changed
from millrace.serving.served import Served
from millrace.serving.v1 import V1
from millrace.serving.v2 import V2
from tests.unit.serving.bundles import record_of
from tests.unit.serving.running import INFER, Client, Running

V1_TINY = "/v1/models/tiny:predict"
WIDE_INFER = "/v2/models/wide/infer"
V1_WIDE = "/v1/models/wide:predict"
HEAD = "POST {} HTTP/1.1\r\nHost: site\r\nContent-Length: {}\r\n{}\r\n"


def tiny(**changes: Any) -> dict[str, Any]:
    """A row in V2; `changes` are of the request, or of an input where they are named like one."""
    inputs = {
        "x": {"name": "x", "shape": [1], "datatype": "FP64", "data": [0.1]},
        "kind": {"name": "kind", "shape": [1, 1], "datatype": "BYTES", "data": ["ü"]},
        "count": {"name": "count", "shape": [1, 1], "datatype": "INT64", "data": [2**63 - 1]},
    }
    for name in inputs.keys() & changes.keys():
        inputs[name] |= changes.pop(name)
    return {"inputs": list(inputs.values())} | changes


def wide(data: list[Any]) -> dict[str, Any]:
    return {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": data}]}


def make_wide(folder: Path) -> Bundle:
    """An input X [N, 2]; its sum as numbers [N] and twice itself."""
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["X", "X"], ["twice"]),
            helper.make_node("ReduceSum", ["X", "axes"], ["sum"], keepdims=0),
        ],
        "wide",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 2])],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["N", 2]),
        ],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    rows = np.array([[1, 2], [3, 4.5]], np.float32)
    return write_bundle(folder, made, {"X": rows}, {"sum": rows.sum(1), "twice": rows * 2}, framework="none")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    bundle = make_wide(tmp_path / "wide")
    running.store.bundles[bundle.digest] = bundle
    running.replica.apply("wide", record_of(bundle, "wide"))
    yield running
    running.end()


def shortly(server: Running, path: str, content: Any) -> bytes | None:
    """What the fast path answers."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return server.loop.call(lambda: server.app.rows.body(path.encode(), body))


def ordinarily(server: Running, path: str, content: Any) -> bytes:
    served = server.app.served("wide" if "wide" in path else "tiny")
    assert served
    codec: Callable[[Signature, int], Codec] = V1 if path.startswith("/v1") else V2
    request = Request(b"POST", path.encode(), {}, json.dumps(content).encode())
    answer = server.loop.call(lambda: served.answer(codec(served.version.signature, 2**20), request))
    assert isinstance(answer, Response)
    return answer.body


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (INFER, tiny()),
        (INFER, tiny(id="a ü", outputs=None, parameters=None)),
        (INFER, tiny(x={"shape": [1, 1], "data": [-7]}, count={"data": [-(2**63)]})),
        (INFER, tiny(x={"data": [1e308]})),
        ("/v2/models/tiny/versions/1/infer", tiny()),
        (WIDE_INFER, wide([1e-7, 3])),
        (WIDE_INFER, wide([3e38, 3e38])),
        (V1_TINY, {"instances": [{"x": 0.1, "kind": "ü", "count": 3}]}),
        (V1_TINY, {"instances": [{"count": 3, "kind": "", "x": 1}], "signature_name": "any"}),
        (V1_WIDE, {"instances": [[0.1, 2]]}),
    ],
)
def test_it_answers_what_the_ordinary_way_answers(server: Running, path: str, content: Any) -> None:
    for _ in range(3):  # the first of a thread takes another way through the runtime
        answer = shortly(server, path, content)
        assert answer == ordinarily(server, path, content)
        assert shortly(server, path, json.dumps(content, indent=2).encode()) == answer


def test_an_id_is_not_there_in_the_next_answer(server: Running) -> None:
    assert json.loads(shortly(server, INFER, tiny(id="a")) or b"")["id"] == "a"
    assert "id" not in json.loads(shortly(server, INFER, tiny()) or b"")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (INFER, b""),
        (INFER, b"[" * 15_000),
        (INFER, b'{"inputs": 1}'),
        (INFER, {"inputs": tiny()["inputs"][:2]}),
        (INFER, {"inputs": tiny()["inputs"] + tiny()["inputs"][:1]}),
        (INFER, {"inputs": tiny()["inputs"][::-1]}),
        (INFER, tiny(outputs=[{"name": "score"}])),
        (INFER, tiny(parameters={"any": 1})),
        (INFER, tiny(x={"parameters": {"binary_data_size": 8}})),
        (INFER, tiny(x={"shape": [1, 2]})),
        (INFER, tiny(x={"shape": [2], "data": [1, 2]})),
        (INFER, tiny(x={"shape": []})),
        (INFER, tiny(x={"data": []})),
        (INFER, tiny(x={"data": [[1]]})),
        (INFER, tiny(x={"data": [True]})),
        (INFER, tiny(x={"data": [None]})),
        (INFER, tiny(x={"datatype": "FP32"})),
        (INFER, tiny(kind={"data": [1]})),
        (INFER, tiny(count={"data": [2**63]})),
        (INFER, tiny(count={"data": [1.5]})),
        (WIDE_INFER, wide([1, 1e39])),
        (WIDE_INFER, wide([1, 2, 3, 4])),
        (V1_TINY, {"instances": []}),
        (V1_TINY, {"instances": [{"x": 0.1, "kind": "a", "count": 3}] * 2}),
        (V1_TINY, {"instances": [{"x": 0.1, "kind": "a"}]}),
        (V1_TINY, {"instances": [{"x": 0.1, "kind": "a", "count": 3, "more": 1}]}),
        (V1_TINY, {"instances": [{"x": 0.1, "kind": "a", "count": 3}], "inputs": {}}),
        (V1_TINY, {"inputs": {"x": [0.1], "kind": ["a"], "count": [3]}}),
        (V1_WIDE, {"instances": [[0.1]]}),
        (V1_WIDE, {"instances": [0.1, 2]}),
        ("/v2/models/nobody/infer", tiny()),
        ("/v2/health/ready", b""),
    ],
)
def test_what_is_something_else_is_left_alone(server: Running, path: str, content: Any) -> None:
    shortly(server, INFER, tiny())
    before = server.ask("GET", "/metrics").text.split("# HELP millrace", 1)[1]
    assert shortly(server, path, content) is None
    after = server.ask("GET", "/metrics").text.split("# HELP millrace", 1)[1]
    assert after == before


def test_a_large_body_is_read_beside_the_event_loop(server: Running) -> None:
    body = json.dumps(tiny()).encode()
    assert shortly(server, INFER, body + b" " * (16 * 1024 - len(body)))
    assert shortly(server, INFER, body + b" " * (16 * 1024 - len(body) + 1)) is None


def test_it_counts_as_any_other_answer(server: Running) -> None:
    for _ in range(3):
        shortly(server, INFER, tiny())
    (stats,) = server.ask("GET", "/v2/models/tiny/stats").json()["model_stats"]
    assert (stats["inference_count"], stats["inference_stats"]["success"]["count"]) == (3, 3)
    assert min(stats["inference_stats"][part]["ns"] for part in ("compute_input", "compute_infer")) > 0
    served = server.app.served("tiny")
    assert served
    assert served.breaker.calls == 3


def test_a_model_that_is_left_alone_is_left_alone(server: Running) -> None:
    served = server.app.served("tiny")
    assert served
    served.breaker.state = 2
    assert shortly(server, INFER, tiny()) is None


@pytest.mark.parametrize(
    "policy", [{"deadline_seconds": 1e-9}, {"batching": {"rows": 8, "wait_seconds": 0.001}}, {}]
)
def test_a_policy_that_wants_more_gets_it(tmp_path: Path, policy: dict[str, Any]) -> None:
    server = Running(tmp_path, changed(Policy(), policy))
    try:
        assert (shortly(server, INFER, tiny()) is None) == bool(policy)
    finally:
        server.end()


def test_a_version_that_is_not_in_memory_is_brought_by_who_can_wait(server: Running) -> None:
    server.live().drop()
    assert shortly(server, INFER, tiny()) is None
    assert server.ask("POST", INFER, json=tiny()).status_code == 200
    assert shortly(server, INFER, tiny())


def test_a_new_version_answers_at_once(server: Running) -> None:
    client = Client(server.port)
    body = json.dumps(tiny())
    scores = []
    for _ in range(2):
        for _ in range(3):
            client.send((HEAD.format(INFER, len(body), "") + body).encode())
            scores.append(json.loads(client.answer()[1])["outputs"][0]["data"][0])
        server.replica.apply("tiny", record_of(server.two, version="2", generation=2))
    assert scores == [0.2] * 3 + [0.1 * 3.0] * 3
    client.close()


def test_requests_by_http_take_it_and_no_others(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []
    ordinary: list[Request] = []
    body, answer = Rows.body, Served.answer

    def watched(rows: Rows, target: bytes, content: bytes) -> bytes | None:
        taken.append(target)
        return body(rows, target, content)

    def seen(served: Served, codec: Codec, request: Request) -> Any:
        ordinary.append(request)
        return answer(served, codec, request)

    monkeypatch.setattr(Rows, "body", watched)
    monkeypatch.setattr(Served, "answer", seen)
    client = Client(server.port)
    text = json.dumps(tiny())
    for extra, first, later in (
        ("", 0, 2),
        ("Accept-Encoding: gzip\r\n", 0, 2),
        ("Inference-Header-Content-Length: {}\r\n", 1, 0),
        ("Content-Encoding: identity\r\n", 1, 0),
    ):
        taken.clear()
        ordinary.clear()
        for _ in range(3):
            client.send((HEAD.format(INFER, len(text), extra.format(len(text))) + text).encode())
            assert client.answer()[0] == 200
        # The head of the first is parsed; those of the others are known.
        assert (len(taken), len(ordinary)) == (later, 3 * first)
    client.close()


def test_a_wrong_row_of_a_known_head_is_told_so_and_the_next_is_answered(server: Running) -> None:
    client = Client(server.port)
    right, wrong = json.dumps(tiny()), json.dumps(tiny(x={"data": [""]}))
    wrong, right = wrong.ljust(len(right)), right.ljust(len(wrong))
    for text, status in ((right, 200), (right, 200), (wrong, 400), (right, 200)):
        client.send((HEAD.format(INFER, len(text), "") + text).encode())
        assert client.answer()[0] == status
    client.close()


def test_what_has_no_short_form() -> None:
    x, y = Tensor("x", "FP64", (-1, 2)), Tensor("y", "FP64", (-1, 3))
    assert widths(Signature([x], [y, Tensor("label", "BYTES", (-1,))])) == [3, 1]
    for inputs, outputs in (
        ([Tensor("x", "FP64", (-1, 2, 2))], [y]),
        ([Tensor("x", "FP64", (-1,))], [y]),
        ([x], [Tensor("y", "FP64", (-1, -1))]),
        ([x], [Tensor("y", "FP64", (-1, 3, 3))]),
        ([x], [Tensor("y", "FP64", (-1, 129))]),
    ):
        assert widths(Signature(inputs, outputs)) is None
