"""Requests that are answered 200, before anything is done to them."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from millrace.models.tensors import DATATYPES
from millrace.serving.grpc.infer import CONTENTS
from millrace.serving.grpc.schema import MESSAGES
from tests.fuzz.models import EVERY, WIDE

INFER, PREDICT = "/v2/models/every/infer", "/v1/models/every:predict"
GRPC = "/inference.GRPCInferenceService/"


@dataclass
class Asked:
    """A request. `broken` names the input that a mutation touched, where it touched one of them alone."""

    target: bytes
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    method: bytes = b"POST"
    broken: str = ""
    #: How it was made, for a failure's report.
    made: str = ""

    @property
    def grpc(self) -> bool:
        return any(value.startswith(b"application/grpc") for _, value in self.headers)

    def but(self, **changes: Any) -> Asked:
        return replace(self, headers=changes.pop("headers", list(self.headers)), **changes)


def _column(datatype: str, width: int, rows: int, chance: random.Random) -> list[Any]:
    choices: dict[str, list[Any]] = {"BOOL": [True, False], "BYTES": ["a", "ü", "", "x" * 30]}
    given = choices.get(datatype, [0, 1, 7] if datatype[0] != "F" else [0.0, 1.5, 2])
    return chance.choices(given, k=rows * width)


def document(chance: random.Random) -> dict[str, Any]:
    """A V2 request to `every`, as JSON has it."""
    rows = chance.choice([1, 1, 2, 5])
    inputs = [
        {"name": n, "shape": [rows, w], "datatype": n, "data": _column(n, w, rows, chance)}
        for n, w in EVERY.items()
    ]
    asked: dict[str, Any] = {"inputs": inputs}
    if chance.random() < 0.5:
        asked["outputs"] = [{"name": f"{name}_out"} for name in chance.sample(list(EVERY), 3)]
    if chance.random() < 0.5:
        asked |= {"id": "r1", "parameters": {"note": [1, {"a": None}], "binary_data_output": False}}
    return asked


def rows_document(chance: random.Random) -> dict[str, Any]:
    """A V1 request to `every`, in one of its four forms."""
    rows = chance.choice([1, 2, 5])
    columns = {n: _column(n, w, rows, chance) for n, w in EVERY.items()}
    shaped = {n: [v[r * EVERY[n] : (r + 1) * EVERY[n]] for r in range(rows)] for n, v in columns.items()}
    records = [{n: (v[r] if EVERY[n] > 1 else v[r][0]) for n, v in shaped.items()} for r in range(rows)]
    data = [list(record.values()) for record in records]
    return chance.choice(
        [
            {"instances": records},
            {"instances": data},
            {"inputs": shaped},
            {"dataframe_records": records},
            {"dataframe_split": {"columns": list(EVERY), "data": data}},
        ]
    )


def json_infer(chance: random.Random) -> Asked:
    return Asked(INFER.encode(), json.dumps(document(chance)).encode(), [], made="V2 JSON")


def json_predict(chance: random.Random) -> Asked:
    return Asked(PREDICT.encode(), json.dumps(rows_document(chance)).encode(), [], made="V1")


def to_bytes(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(t)) + t for t in (text.encode() for text in values))
    return np.array(values, DATATYPES[datatype]).tobytes()


def binary_infer(chance: random.Random) -> Asked:
    """Some inputs as bytes, some as JSON."""
    asked, blobs = document(chance), []
    for each in asked["inputs"]:
        if chance.random() < 0.7:
            blobs.append(to_bytes(each["datatype"], each.pop("data")))
            each["parameters"] = {"binary_data_size": len(blobs[-1])}
    return join(asked, b"".join(blobs))


def join(asked: dict[str, Any], blob: bytes) -> Asked:
    text = json.dumps(asked).encode()
    size = [(b"Inference-Header-Content-Length", b"%d" % len(text))]
    return Asked(INFER.encode(), text + blob, size, made="V2 binary")


def bare_bytes(chance: random.Random) -> Asked:
    body = np.zeros((chance.choice([1, 3]), WIDE), np.float16).tobytes()
    size = [(b"Inference-Header-Content-Length", b"0")]
    return Asked(b"/v2/models/wide/infer", body, size, made="V2 bare bytes")


def message(chance: random.Random) -> Any:
    """A ModelInferRequest to `every`, typed or raw."""
    asked = document(chance)
    made = MESSAGES["ModelInferRequest"](model_name="every", id="r1")
    raw = chance.random() < 0.6
    for each in asked["inputs"]:
        given = made.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        if raw:
            made.raw_input_contents.append(to_bytes(each["datatype"], each["data"]))
        else:
            values = [v.encode() for v in each["data"]] if each["datatype"] == "BYTES" else each["data"]
            getattr(given.contents, CONTENTS[each["datatype"]]).extend(values)
    return made


def frame(content: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(content)) + content


def call(content: bytes, method: str = "ModelInfer") -> Asked:
    headers = [(b"Content-Type", b"application/grpc"), (b"TE", b"trailers")]
    return Asked(f"{GRPC}{method}".encode(), frame(content), headers, made="gRPC")


def grpc_infer(chance: random.Random) -> Asked:
    return call(message(chance).SerializeToString())


#: Makers of requests that are answered 200.
KINDS = [json_infer, json_predict, binary_infer, bare_bytes, grpc_infer]
