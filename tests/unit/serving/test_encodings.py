"""Bodies and answers that are packed."""

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest

from millrace.serving.errors import Unanswered
from tests.unit.serving.v2_requests import SIGNATURE, answer, call, request


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
