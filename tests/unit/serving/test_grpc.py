"""V2 over gRPC, as a gateway passes it on: HTTP/1.1 with trailers. Messages are those of Triton's client."""

import gzip
import struct
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from millrace.models import Tensor
from millrace.models.tensors import DATATYPES
from millrace.serving.calls import Answer, Signature
from millrace.serving.grpc.infer import CONTENTS, Infer
from millrace.serving.grpc.schema import MESSAGES
from millrace.serving.http import Request, Response
from tests.unit.serving.running import Client, Running, listening

PREFIX = b"/inference.GRPCInferenceService/"
# Three inputs of two rows, raw, with two outputs, an id and a parameter, as tritonclient 2.73 writes them.
RAW = bytes.fromhex(
    "0a0474696e791a013722080a016112031a01622a0d0a01781204465036341a0202012a110a046b696e64120542595445531a020201"
    "2a120a05636f756e741205494e5436341a02020132070a0573636f726532070a056c6162656c3a10000000000000f03f00000000"
    "000004403a0b010000006102000000c3bc3a1007000000000000000800000000000000"
)
RAW_ANSWER = bytes.fromhex(
    "0a0474696e791201311a013722080a016112031a01622a110a0573636f72651204465036341a0202012a120a056c6162656c120542"
    "595445531a020201321000000000000000400000000000001440320b010000006102000000c3bc"
)
# One row with typed contents.
TYPED = bytes.fromhex(
    "0a0474696e792a180a01781204465036341a01012a0a3a08000000000000f83f2a150a046b696e64120542595445531a01012a0342"
    "01612a160a05636f756e741205494e5436341a01012a031a0107"
)


class Call:
    """The answer to a call: message, status and its words."""

    def __init__(self, answer: bytes) -> None:
        head, _, rest = answer.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.http = int(lines[0].split(b" ")[1])
        self.headers = dict(line.split(b": ", 1) for line in lines[1:])
        body = b""
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if not int(size, 16):
                break
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        trailers = dict(line.split(b": ", 1) for line in rest.split(b"\r\n") if line)
        self.status = int(trailers[b"grpc-status"])
        self.words = unquote(trailers.get(b"grpc-message", b"").decode())
        self.message = body[5:]
        assert not body or struct.unpack(">BI", body[:5]) == (0, len(body) - 5)


def frame(message: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(message)) + message


def call(port: int, method: bytes, body: bytes, headers: bytes = b"") -> Call:
    client = Client(port)
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    client.send(
        b"POST %b%b HTTP/1.1\r\nHost: site\r\nContent-Type: application/grpc\r\nTE: trailers\r\n%b"
        b"Transfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (PREFIX, method, headers, chunk)
    )
    answer = client.receive(b"grpc-status: ")
    if not answer.endswith(b"\r\n\r\n"):
        answer += client.receive(b"\r\n\r\n")
    client.close()
    return Call(answer)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.end()


def ask(server: Running, method: str, **fields: Any) -> Any:
    """The answer's message to a call with these fields."""
    content = MESSAGES[f"{method}Request"](**fields).SerializeToString()
    got = call(server.port, method.encode(), frame(content))
    assert (got.http, got.status) == (200, 0)
    return MESSAGES[f"{method}Response"].FromString(got.message)


def test_a_clients_bytes_are_answered_with_the_bytes_it_expects(server: Running) -> None:
    got = call(server.port, b"ModelInfer", frame(RAW))
    assert (got.status, got.headers[b"content-type"]) == (0, b"application/grpc")
    assert got.message == RAW_ANSWER


def test_typed_contents_are_answered_with_typed_contents(server: Running) -> None:
    got = call(server.port, b"ModelInfer", frame(TYPED))
    answer = MESSAGES["ModelInferResponse"].FromString(got.message)
    assert [(o.name, o.datatype, list(o.shape)) for o in answer.outputs] == [
        ("score", "FP64", [1, 1]),
        ("label", "BYTES", [1, 1]),
        ("number", "INT64", [1, 1]),
    ]
    assert list(answer.outputs[0].contents.fp64_contents) == [3.0]
    assert list(answer.outputs[1].contents.bytes_contents) == [b"a"]
    assert list(answer.outputs[2].contents.int64_contents) == [7]
    assert not answer.raw_output_contents


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
@pytest.mark.parametrize("rows", [1, 100])
def test_every_datatype_comes_typed_and_raw(datatype: str, rows: int) -> None:
    signature = Signature([Tensor("n", datatype, (-1, 2))], [Tensor("n", datatype, (-1, 2))])
    values = np.array([["a", "ü"]] * rows if datatype == "BYTES" else [[1, 0]] * rows, DATATYPES[datatype])
    typed = MESSAGES["ModelInferRequest"](model_name="m")
    given = typed.inputs.add(name="n", datatype=datatype, shape=[rows, 2])
    raw = MESSAGES["ModelInferRequest"].FromString(typed.SerializeToString())
    flat: list[Any] = values.ravel().tolist()
    if datatype == "BYTES":
        flat = [text.encode() for text in flat]
        raw.raw_input_contents.append(b"".join(struct.pack("<I", len(t)) + t for t in flat))
    else:
        raw.raw_input_contents.append(values.tobytes())
    requests = [raw]
    if datatype in CONTENTS:
        getattr(given.contents, CONTENTS[datatype]).extend(flat)
        requests.append(typed)
    for message in requests:
        codec = Infer(message, signature)
        asked = codec.read(Request(b"POST", b"/", {}))
        np.testing.assert_array_equal(asked.inputs["n"], values)
        assert asked.inputs["n"].dtype == values.dtype
        answer = MESSAGES["ModelInferResponse"].FromString(
            codec.write(asked, Answer("m", "1", {"n": values})).body[5:]
        )
        if message is raw:
            assert answer.raw_output_contents[0] == raw.raw_input_contents[0]
        else:
            assert list(getattr(answer.outputs[0].contents, CONTENTS[datatype])) == flat


@pytest.mark.parametrize("encoding", [b"gzip", b""])
def test_messages_may_be_packed(server: Running, encoding: bytes) -> None:
    headers = b"grpc-encoding: gzip\r\n" if encoding else b""
    got = call(server.port, b"ModelInfer", frame(gzip.compress(RAW), 1), headers)
    assert got.message == RAW_ANSWER


def test_health_metadata_index_and_statistics(server: Running) -> None:
    assert ask(server, "ServerLive").live
    assert ask(server, "ServerReady").ready
    assert ask(server, "ModelReady", name="tiny").ready
    assert not ask(server, "ModelReady", name="nobody").ready
    assert not ask(server, "ModelReady", name="tiny", version="9").ready
    assert ask(server, "ServerMetadata").name == "millrace"
    metadata = ask(server, "ModelMetadata", name="tiny", version="1")
    assert (metadata.platform, list(metadata.versions)) == ("onnxruntime_onnx", ["1"])
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs][1] == ("kind", "BYTES", [-1, 1])
    (model,) = ask(server, "RepositoryIndex").models
    assert (model.name, model.version, model.state) == ("tiny", "1", "READY")
    call(server.port, b"ModelInfer", frame(RAW))
    for fields in ({"name": "tiny"}, {}):
        (stats,) = ask(server, "ModelStatistics", **fields).model_stats
        assert (stats.name, stats.inference_count, stats.inference_stats.success.count) == ("tiny", 2, 1)
        assert stats.inference_stats.compute_infer.ns > 0


def changed(message: bytes, **fields: Any) -> bytes:
    request = MESSAGES["ModelInferRequest"].FromString(message)
    for name, value in fields.items():
        if isinstance(value, list):
            request.ClearField(name)
            getattr(request, name).extend(value)
        else:
            setattr(request, name, value)
    return bytes(request.SerializeToString())


@pytest.mark.parametrize(
    ("method", "body", "status", "words"),
    [
        (b"ModelInfer", frame(changed(RAW, model_name="nobody")), 5, "'nobody' is not deployed"),
        (b"ModelInfer", frame(changed(RAW, model_version="9")), 5, "version 1 live, not 9"),
        (b"ModelInfer", frame(changed(RAW, raw_input_contents=[b""])), 3, "1 raw contents for 3 inputs"),
        (b"ModelInfer", frame(changed(RAW, raw_input_contents=[b"", b"", b""])), 3, "'x' has 0 bytes"),
        (b"ModelInfer", frame(changed(RAW, raw_input_contents=[])), 3, "'x' has 0 values"),
        (b"ModelInfer", frame(changed(TYPED, raw_input_contents=[b"a"] * 3)), 3, "contents beside raw"),
        (b"ModelInfer", frame(b""), 5, "'' is not deployed"),
        (b"ModelInfer", frame(b"\xff\xff"), 3, "cannot be read"),
        (b"ModelInfer", frame(RAW)[:-1], 3, "one whole message"),
        (b"ModelInfer", frame(RAW) * 2, 3, "one whole message"),
        (b"ModelInfer", b"", 3, "one whole message"),
        (b"ModelInfer", frame(RAW, 1), 3, "not gzip"),
        (b"ModelInfer", frame(RAW, 7), 3, "one whole message"),
        (b"ModelInfer", frame(gzip.compress(b"\0" * 10_000_000), 1), 8, "larger than"),
        (b"ModelStreamInfer", frame(RAW), 12, "ModelStreamInfer is not answered"),
        (b"RepositoryModelLoad", frame(b""), 7, "ask the gateway"),
        (b"ModelMetadata", frame(b""), 5, "not deployed"),
    ],
)
def test_what_is_wrong_is_a_status_with_words(
    server: Running, method: bytes, body: bytes, status: int, words: str
) -> None:
    got = call(server.port, method, body)
    assert (got.http, got.status, got.message) == (200, status, b"")
    assert words in got.words
    assert call(server.port, b"ModelInfer", frame(RAW)).status == 0


def test_the_clients_deadline_counts(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    version = server.live()
    monkeypatch.setattr(version, "inline_rows", 0)
    assert call(server.port, b"ModelInfer", frame(RAW), b"grpc-timeout: 5S\r\n").status == 0
    assert call(server.port, b"ModelInfer", frame(RAW), b"grpc-timeout: 1n\r\n").status == 4


def test_words_that_are_no_ascii_arrive(server: Running) -> None:
    got = call(server.port, b"ModelInfer", frame(changed(RAW, model_name="größe 100%")))
    assert "'größe 100%' is not deployed" in got.words


def test_load_and_unload_are_answered_by_control(tmp_path: Path) -> None:
    from tests.unit.control.test_app import LOGIN, Control

    control = Control(tmp_path)

    def handle(request: Request) -> Awaitable[Response]:
        request.peer = control.peer
        return control.app.handle(request)

    login = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in LOGIN.items())
    message = MESSAGES["RepositoryModelLoadRequest"](model_name="iris").SerializeToString()
    odd = MESSAGES["RepositoryModelLoadRequest"](model_name="iris")
    odd.parameters["config"].string_param = "{}"
    with listening(handle) as (_, port, _loop):
        assert call(port, b"RepositoryModelLoad", frame(message), login).status == 0
        assert control.site.deployer.deployments()["iris"].version == "9"
        refused = call(port, b"RepositoryModelLoad", frame(odd.SerializeToString()), login)
        assert (refused.status, "'config'" in refused.words) == (3, True)
        assert call(port, b"RepositoryModelUnload", frame(message)).status == 7
        assert call(port, b"RepositoryModelUnload", frame(message), login).status == 0
        assert control.site.deployer.deployments() == {}
