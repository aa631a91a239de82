"""A few thousand broken requests to `millrace serve`, in a process of its own; the whole is `tests.fuzz`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from tests.fuzz import valid
from tests.fuzz.models import write_models
from tests.fuzz.run import fuzz, judge
from tests.fuzz.talk import Answered
from tests.unit.serving.served import Serving

#: MiB that so many requests may add to a server that has just begun.
GROWTH = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(write_models(tmp_path_factory.mktemp("models"))) as serving:
        yield serving


def test_broken_requests_are_told_why_and_the_server_stays_whole(server: Serving) -> None:
    report = fuzz(int(server.url.rpartition(":")[2]), server.process.pid, 3000, seed=1)
    assert report.findings == []
    assert report.requests == 3000
    # Among them are those that came through unharmed, and many that did not.
    assert min(report.statuses[status] for status in ("200", "400", "413", "415", "broken off")) >= 20
    assert report.peak - report.warm < GROWTH
    assert server.process.poll() is None
    assert server.ask("GET", "/v2/health/ready").json() == {"ready": True, "live": True}


ASKED = valid.Asked(b"/", b"", broken="FP64")
TOLD = b'{"error": "input \'FP64\' is wrong"}'


@pytest.mark.parametrize(
    ("answered", "good", "words"),
    [
        (Answered(400, {}, TOLD), False, ""),
        (Answered(200, {}, b"{}"), True, ""),
        (Answered(400, {}, TOLD), True, "a valid request"),
        (Answered(500, {}, TOLD), False, "500"),
        (Answered(404, {}, b"<html>"), False, "without an error"),
        (Answered(400, {}, b'{"error": ""}'), False, "not named"),
        (Answered(400, {}, b'{"error": "it is wrong"}'), False, "'FP64' is not named"),
        (Answered(200, {}, b"", {b"grpc-status": b"13", b"grpc-message": b"x"}), False, "status 13"),
        (Answered(200, {}, b"", {b"grpc-status": b"3"}), False, "status 3"),
        (Answered(200, {}, b"", {b"grpc-status": b"3", b"grpc-message": b"%46P64"}), False, ""),
    ],
)
def test_what_should_not_be_answered_is_a_finding(answered: Answered, good: bool, words: str) -> None:
    found = judge(ASKED, answered, good)
    assert words in found
    assert bool(found) == bool(words)


def test_a_request_is_made_again_from_its_seed() -> None:
    first, again = (valid.json_infer(random.Random("1/7")) for _ in range(2))
    assert first == again
    assert json.loads(first.body)["inputs"]
