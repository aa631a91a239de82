"""What a follower says of Kafka's errors, and does meanwhile."""

import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millrace.serving.config import Kafka
from millrace.serving.errors import Away
from millrace.serving.follower import Follower, brief


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "ssl://192.0.2.1:9092/bootstrap: Connect to ipv4#192.0.2.1:9092 failed: Connection refused"
            " (after 0ms in state CONNECT, 1 identical error(s) suppressed)",
            "Connect to ipv4#192.0.2.1:9092 failed: Connection refused",
        ),
        ("Local: Message timed out", "Message timed out"),
    ],
)
def test_what_the_library_says_is_told_without_its_own_affairs(said: str, expected: str) -> None:
    assert brief(KafkaError(KafkaError._TRANSPORT, said)) == expected


class _Gone:
    """A consumer whose broker is gone: its questions fail at once, and nothing comes."""

    def __init__(self) -> None:
        self.asked = self.polled = 0

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        self.asked += 1
        raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))

    def poll(self, _: float) -> None:
        self.polled += 1


class _Clock(threading.Event):
    """Counts who waits, and lets nobody wait."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += bool(timeout)
        return False


@pytest.fixture
def follower() -> Follower:
    return Follower(Kafka(brokers=["192.0.2.1:9092"]), None, "test", listener=None)  # type: ignore[arg-type]


def test_a_broker_that_is_gone_is_asked_with_pauses_and_read_from_all_the_same(follower: Follower) -> None:
    follower._stopped = clock = _Clock()
    follower._asked = follower._waiting = 1
    consumer: Any = _Gone()
    for times in range(1, 4):
        follower._go_on(consumer, {0: 0}, None, "id")  # type: ignore[arg-type]
        assert (consumer.asked, consumer.polled, clock.waits) == (times, times, times)


def test_nobody_is_asked_for_who_has_given_up(follower: Follower) -> None:
    with pytest.raises(Away):
        follower.refresh(0.01)
    consumer: Any = _Gone()
    follower._go_on(consumer, {0: 0}, None, "id")  # type: ignore[arg-type]
    assert (consumer.asked, consumer.polled) == (0, 1)
