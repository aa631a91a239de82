"""What is done to a valid request: to its values, its bytes, its tensors, its messages, its packing."""

from __future__ import annotations

import copy
import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

from tests.fuzz import valid
from tests.fuzz.valid import Asked

#: Values where others belong; some only as text, since no JSON library writes them.
JUNK: list[Any] = [
    None, True, -1, 0, 1.5, 1e308, 2**31, 2**63, -(2**63) - 1, 2**64, 10**400, "", "x" * 5000, "\0", "\ud800",
    "NaN", [], {}, [[]], [None], [1, "a"], {"b64": "?"}, {"b64": 5}, [[[[1]]]], [1] * 3000,
]  # fmt: skip
TEXTS = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-0",
    b"00",
    b'"\xff"',
    b"[" * 20_000,
    b'{"a":' * 5_000,
    b"'x'",
    b"",
]
_PLACE = "@@place@@"
TARGETS = [
    *rb"/%ff /%00 // * http:// /v2/models/%2e%2e/infer /v2/models//infer /v2/models/every/infer?x=% "
    rb"/v2/models/every%2Finfer /v2/models/every/versions//infer http://x/v2/models/every/infer "
    rb"/v1/models/every: /v1/models/:predict /v1/models/every:predict:predict /v2/repository/index "
    rb"/v2/repository/models/every/load /replica/prepare /v2/docs/../models /metrics".split(),
    "/v2/models/ü/infer".encode(), b"/" + b"a" * 3000,
    *(f"{valid.GRPC}{method}".encode() for method in ("", "ModelStreamInfer", "ModelMetadata", "ServerLive")),
]  # fmt: skip
METHODS = [b"POST", b"POST", b"GET", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"PATCH", b"TRACE"]
# More than a body may have.
_LARGE = 6 * 1024 * 1024
_BOMB = b'{"inputs": [' + b" " * _LARGE
_BOMBS = [
    (b"gzip", gzip.compress(_BOMB)),
    (b"deflate", zlib.compress(_BOMB)),
    (b"gzip", gzip.compress(b" " * 1000) * 5000),
    (b"gzip", gzip.compress(gzip.compress(_BOMB))),
]


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something is in a document; of long lists the beginning."""
    found = [at] if at else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:20]):
            found += _paths(inner, (*at, number))
    return found


def document(asked: Any, chance: random.Random) -> tuple[bytes, str]:
    """JSON with one thing changed, and the input that was changed where it is one alone."""
    asked = copy.deepcopy(asked)
    path = chance.choice(_paths(asked))
    holder = asked
    for key in path[:-1]:
        holder = holder[key]
    last, text = path[-1], b""
    match chance.randrange(6):
        case 0:
            del holder[last]
        case 1 | 2:
            holder[last] = chance.choice(JUNK)
        case 3:
            holder[last], text = _PLACE, chance.choice(TEXTS)
        case 4 if isinstance(holder, dict):
            holder[chance.choice(["", "x", "name", "data", "é" * 300])] = holder.pop(last)
        case 4 | 5:
            other = chance.choice(_paths(asked))
            found = asked
            for key in other:
                found = found[key]
            holder[last] = copy.deepcopy(found)
    body = json.dumps(asked).encode().replace(json.dumps(_PLACE).encode(), text)
    inside = (
        path[:1] == ("inputs",)
        and len(path) > 3
        and isinstance(path[1], int)
        and path[2] in ("shape", "data")
    )
    name = asked["inputs"][path[1]].get("name", "") if inside else ""
    return body, name if isinstance(name, str) else ""


def noise(body: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut, added or doubled."""
    data = bytearray(body)
    for _ in range(chance.choice([1, 1, 3])):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = chance.randbytes(chance.choice([1, 8, 300]))
            case 3:
                end = at + chance.choice([1, 8, 300])
                data[at:at] = data[at:end]
            case _:
                del data[at : at + chance.choice([1, 4, 100])]
    return bytes(data)


def of_json(chance: random.Random) -> Asked:
    asked = valid.document(chance)
    body, broken = document(asked, chance)
    return Asked(valid.INFER.encode(), body, broken=broken, made="V2 JSON, a value changed")


def of_predict(chance: random.Random) -> Asked:
    body, _ = document(valid.rows_document(chance), chance)
    return Asked(valid.PREDICT.encode(), body, made="V1, a value changed")


def of_bytes(chance: random.Random) -> Asked:
    asked = chance.choice(valid.KINDS)(chance)
    return asked.but(body=noise(asked.body, chance), made=f"{asked.made}, bytes changed")


def of_binary(chance: random.Random) -> Asked:
    """The lengths that binary tensors depend on are wrong."""
    asked = valid.binary_infer(chance)
    size = int(asked.headers[0][1])
    text, blob = json.loads(asked.body[:size]), asked.body[size:]
    match chance.randrange(4):
        case 0:
            wrong = [size - 1, size + 1, -1, 2**64, len(asked.body) + 1, b"", b"x", b"1e3", b"9" * 400]
            given = chance.choice(wrong)
            value = given if isinstance(given, bytes) else b"%d" % given
            return asked.but(
                headers=[(b"Inference-Header-Content-Length", value)], made="V2 binary, header wrong"
            )
        case 1:
            several = [e for e in text["inputs"] if "parameters" in e]
            if several:
                each = chance.choice(several)
                each["parameters"]["binary_data_size"] = chance.choice(
                    [0, 1, -1, 2**40, 2**70, 1.5, "8", None, True]
                )
        case 2:
            blob = blob[: chance.randrange(len(blob) + 1)] + chance.randbytes(chance.choice([0, 1, 9]))
        case _:
            # Among others the lengths inside of BYTES.
            at = chance.randrange(len(blob) + 1)
            blob = (
                blob[:at] + chance.choice([b"\xff" * 4, b"\0" * 4, struct.pack("<I", 2**31)]) + blob[at + 4 :]
            )
    return valid.join(text, blob).but(made="V2 binary, lengths wrong")


def of_message(chance: random.Random) -> Asked:
    """A gRPC message whose fields do not fit, or a frame that does not."""
    made = valid.message(chance)
    match chance.randrange(7):
        case 0:
            given = chance.choice(made.inputs)
            given.shape[:] = chance.choice(
                [[], [0, 1], [-1, 1], [2**62, 2], [1, 1, 1], [1] * 5000, [2**31, 2**32]]
            )
            return valid.call(made.SerializeToString()).but(broken=given.name, made="gRPC, shape wrong")
        case 1:
            given = chance.choice(made.inputs)
            given.datatype = chance.choice(["", "FP32", "x" * 4000, "BYTES", "INT64"])
        case 2:
            made.inputs.append(chance.choice(made.inputs))
        case 3:
            del made.inputs[chance.randrange(len(made.inputs))]
        case 4 if made.raw_input_contents:
            number = chance.randrange(len(made.raw_input_contents))
            made.raw_input_contents[number] = noise(made.raw_input_contents[number], chance)
        case 5:
            made.outputs.add(name=chance.choice(["", "nobody", "FP64_out", "FP64_out"]))
            made.parameters["a"].string_param = "x" * 3000
        case _:
            content = made.SerializeToString()
            frames = [
                valid.frame(content) * 2, valid.frame(content)[:-1], valid.frame(content, 1),
                valid.frame(content, 9), valid.frame(gzip.compress(content), 1), valid.frame(_BOMBS[0][1], 1),
                struct.pack(">BI", 0, 2**32 - 1), b"", valid.frame(b"\xff" * 50), valid.frame(b"\n" * 60_000),
            ]  # fmt: skip
            return valid.call(b"").but(body=chance.choice(frames), made="gRPC, frame wrong")
    return valid.call(made.SerializeToString()).but(made="gRPC, fields wrong")


def of_packing(chance: random.Random) -> Asked:
    """Encodings that are not what they say, and bombs."""
    asked = chance.choice([valid.json_infer, valid.json_predict, valid.binary_infer])(chance)
    body = asked.body
    packed = chance.choice(
        [
            *_BOMBS,
            (b"gzip", gzip.compress(body)),
            (b"deflate", zlib.compress(body)),
            (b"gzip", gzip.compress(body)[:-5]),
            (b"gzip", noise(gzip.compress(body), chance)),
            (b"gzip", body),
            (b"gzip", b""),
            (b"br", body),
            (b"gzip, gzip", gzip.compress(gzip.compress(body))),
            (b"\xff\xfe", body),
        ]
    )
    headers = [*asked.headers, (b"Content-Encoding", packed[0])]
    return asked.but(headers=headers, body=packed[1], made=f"{asked.made}, packed as {packed[0]!r}")


def of_target(chance: random.Random) -> Asked:
    asked = chance.choice([valid.json_infer, valid.json_predict, valid.grpc_infer])(chance)
    return asked.but(
        target=chance.choice(TARGETS), method=chance.choice(METHODS), made=f"{asked.made}, target changed"
    )


MUTATIONS: list[Callable[[random.Random], Asked]] = [
    *[of_json] * 3, *[of_predict] * 2, *[of_bytes] * 2, *[of_binary] * 2, *[of_message] * 2,
    of_packing, of_target, *valid.KINDS,
]  # fmt: skip
