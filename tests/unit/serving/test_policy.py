"""Policies of deployment records, and the circuit breaker that one asks for."""

from typing import Any

import pytest

from millrace.serving.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from millrace.serving.policy import BatchPolicy, BreakerPolicy, FallbackPolicy, Policy, changed
from millrace.serving.records import Record


def test_changes_leave_the_rest_as_it_was() -> None:
    one = changed(Policy(), {"deadline_seconds": 2, "breaker": {"calls": 5}, "batching": {"rows": 8}})
    assert one == Policy(deadline_seconds=2, breaker=BreakerPolicy(calls=5), batching=BatchPolicy(rows=8))
    two = changed(one, {"queue": 0, "breaker": {"share": 1}, "fallback": {"version": "1"}, "batching": None})
    assert two == Policy(
        deadline_seconds=2,
        queue=0,
        breaker=BreakerPolicy(calls=5, share=1),
        fallback=FallbackPolicy(version="1"),
    )
    three = changed(two, {"fallback": {"constant": {"a": 1}}, "breaker": None})
    assert (three.breaker, three.fallback) == (None, FallbackPolicy(constant={"a": 1}))
    assert changed(three, {"breaker": {}}).breaker == BreakerPolicy()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "an object"),
        ({"speed": 1}, "no speed, only deadline_seconds"),
        ({"breaker": {"speed": 1}}, "no breaker.speed, only share"),
        ({"fallback": {"digest": "x"}}, "no fallback.digest"),
        ({"deadline_seconds": 0}, "deadline_seconds"),
        ({"deadline_seconds": "1"}, "deadline_seconds"),
        ({"deadline_seconds": None}, "deadline_seconds"),
        ({"concurrency": 0}, "concurrency"),
        ({"queue": 1.5}, "queue"),
        ({"batching": {"rows": 2001}}, "rows"),
        ({"fallback": {}}, "0 are given"),
        ({"fallback": {"model": "a", "version": "1"}}, "2 are given"),
    ],
)
def test_a_wrong_change_is_named(changes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        changed(Policy(), changes)


def test_a_record_keeps_its_policy_and_older_records_have_the_usual_one() -> None:
    policy = Policy(queue=3, fallback=FallbackPolicy(version="1", digest="sha256:1"))
    record = Record("iris", "2", "sha256:2", 4, policy=policy)
    assert Record.decode(record.encode()) == record
    assert record.digests == ["sha256:2", "sha256:1"]
    old = Record.decode(b'{"model":"iris","version":"2","digest":"sha256:2","generation":4}')
    assert old.policy == Policy()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(BreakerPolicy(share=0.5, calls=4, window_seconds=10, open_seconds=5), clock)


def test_it_opens_when_enough_calls_have_failed(breaker: Breaker) -> None:
    for good in (False, True, False):
        (breaker.succeeded if good else breaker.failed)()
    assert breaker.state == CLOSED
    breaker.failed()
    assert breaker.state == OPEN
    assert not breaker.allows()
    assert breaker.wait() == 5


def test_a_small_share_of_failures_or_old_ones_do_not_open_it(breaker: Breaker, clock: Clock) -> None:
    for _ in range(20):
        breaker.failed()
        for _ in range(3):
            breaker.succeeded()
        clock.now += 1
    assert breaker.state == CLOSED
    for _ in range(20):
        breaker.failed()
        clock.now += 11
    assert breaker.state == CLOSED


def test_one_probe_closes_it_or_leaves_it_open(breaker: Breaker, clock: Clock) -> None:
    for _ in range(4):
        breaker.failed()
    clock.now += 5
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert breaker.state == HALF_OPEN
    breaker.failed()
    assert breaker.state == OPEN
    assert not breaker.allows()
    clock.now += 5
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.state == CLOSED
    breaker.failed()
    assert breaker.state == CLOSED


def test_a_probe_that_tells_nothing_lets_another_one_through(breaker: Breaker, clock: Clock) -> None:
    for _ in range(4):
        breaker.failed()
    clock.now += 5
    assert breaker.allows()
    breaker.abandoned()
    assert breaker.allows()
    # One whose end nobody tells keeps others out no longer than it would have been open.
    clock.now += 5
    assert breaker.allows()


def test_without_a_policy_it_never_opens() -> None:
    breaker = Breaker(None)
    for _ in range(1000):
        breaker.failed()
    assert breaker.allows()
