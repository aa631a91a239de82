"""The fast path says what the ordinary way says, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from millrace.models import Bundle, OnnxModel, Tensor, write_bundle
from millrace.models.pair import Pair
from millrace.serving import versions
from millrace.serving.calls import Codec, Signature
from millrace.serving.fast import FastPath, Rows, has_short_rows
from millrace.serving.http import Request, Response
from millrace.serving.policy import Policy, changed
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
        (V1_WIDE, {"instances": [[0.1, 2]], "signature_name": "any"}),
        (V1_WIDE, b'{"instances": [[1, 2]], "k": "\xff"}'),
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
    ("policy", "takes"), [({}, True), ({"batching": {"rows": 8, "wait_seconds": 0.001}}, False)]
)
def test_rows_that_are_wanted_in_batches_wait_for_them(
    tmp_path: Path, policy: dict[str, Any], takes: bool
) -> None:
    server = Running(tmp_path, changed(Policy(), policy))
    try:
        assert (shortly(server, INFER, tiny()) is not None) == takes
    finally:
        server.end()


def test_a_row_that_comes_late_is_computed_once_and_counts_as_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker = {"calls": 1, "share": 1.0, "window_seconds": 60, "open_seconds": 60}
    server = Running(tmp_path, changed(Policy(), {"deadline_seconds": 1e-9, "breaker": breaker}))
    client = Client(server.port)
    computed: list[Any] = []
    values, run = Pair.values, OnnxModel.run
    monkeypatch.setattr(Pair, "values", lambda pair: computed.append(pair) or values(pair))
    monkeypatch.setattr(
        OnnxModel, "run", lambda *given, **more: computed.append(given) or run(*given, **more)
    )
    try:
        text = json.dumps(tiny())
        client.send((HEAD.format(INFER, len(text), "") + text).encode())
        assert client.answer()[0] == 504
        served = server.app.served("tiny")
        assert served
        assert (len(computed), served.breaker.state, served.metrics.outcomes["deadline"]) == (1, 2, 1)
    finally:
        client.close()
        server.end()


def test_an_answer_that_is_worth_compressing_is_left_to_who_can(server: Running) -> None:
    assert shortly(server, INFER, tiny(id="a" * 6000)) is None
    answer = server.ask("POST", INFER, json=tiny(id="a" * 6000), headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")


def test_a_model_whose_row_takes_long_has_no_fast_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_INLINE_S", 0.0)
    server = Running(tmp_path)
    try:
        assert shortly(server, INFER, tiny()) is None
    finally:
        server.end()


def test_a_version_that_is_asked_is_used(server: Running) -> None:
    before = server.live().used
    shortly(server, INFER, tiny())
    assert server.live().used > before


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


def test_a_request_is_tried_once(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    known: list[bytes] = []
    answer, body = FastPath.answer, Rows.body

    def watched(path: FastPath, content: bytes) -> bytes | None:
        tried.append(content)
        return answer(path, content)

    def seen(rows: Rows, target: bytes, content: bytes) -> bytes | None:
        known.append(target)
        return body(rows, target, content)

    monkeypatch.setattr(FastPath, "answer", watched)
    monkeypatch.setattr(Rows, "body", seen)
    client = Client(server.port)
    row = tiny()
    for content, extra, times in (
        (row, "", 3),
        (row | {"parameters": {"any": 1}}, "", 3),
        (row, "Accept-Encoding: gzip\r\n", 3),
        (row, "Inference-Header-Content-Length: {}\r\n", 0),
        (row, "Content-Encoding: identity\r\n", 0),
    ):
        text = json.dumps(content)
        tried.clear()
        known.clear()
        for _ in range(3):
            client.send((HEAD.format(INFER, len(text), extra.format(len(text))) + text).encode())
            assert client.answer()[0] == 200
        # The head of the first was parsed; those of the others are known.
        assert (len(tried), len(known)) == (times, max(times - 1, 0))
    client.close()


def test_an_answer_is_logged_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Running(tmp_path, access_log=True)
    client = Client(server.port)
    text = json.dumps(tiny())
    try:
        for _ in range(3):
            client.send((HEAD.format(INFER, len(text), "") + text).encode())
            assert client.answer()[0] == 200
    finally:
        client.close()
        server.end()
    assert [json.loads(line)["path"] for line in capsys.readouterr().out.splitlines()] == [INFER] * 3


def test_a_connection_that_is_used_is_not_idle(server: Running) -> None:
    client = Client(server.port)
    text = json.dumps(tiny())
    for _ in range(2):
        client.send((HEAD.format(INFER, len(text), "") + text).encode())
        assert client.answer()[0] == 200
        (connection,) = server.listener.connections
        assert connection.due > server.loop.loop.time() + server.listener.limits.idle_seconds - 1
        connection.due = server.loop.loop.time() + 20
    client.close()


def test_the_last_answer_of_a_connection_says_so(server: Running) -> None:
    client = Client(server.port)
    text = json.dumps(tiny())
    for last in (False, True):
        client.send((HEAD.format(INFER, len(text), "") + text).encode())
        head = client.receive(b"]}]}")
        assert (b"connection: close" in head) == last
        for connection in server.listener.connections:
            connection._last = True
    assert client.rest() == b""
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
    assert has_short_rows(Signature([x], [y, Tensor("label", "BYTES", (-1,))]))
    for inputs, outputs in (
        ([Tensor("x", "FP64", (-1, 2, 2))], [y]),
        ([Tensor("x", "FP64", (-1,))], [y]),
        ([x], [Tensor("y", "FP64", (-1, -1))]),
        ([x], [Tensor("y", "FP64", (-1, 3, 3))]),
        ([x], [Tensor("y", "FP64", (-1, 129))]),
    ):
        assert not has_short_rows(Signature(inputs, outputs))
