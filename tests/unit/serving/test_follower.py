"""What a follower says of Kafka's errors."""

import pytest
from confluent_kafka import KafkaError

from millrace.serving.follower import brief


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
