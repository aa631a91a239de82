"""Follows the deployment records in Kafka: first all that the topic holds, then each as it comes."""

import logging
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from millrace.serving.config import Kafka, Tls
from millrace.serving.errors import Away
from millrace.serving.records import Record

log = logging.getLogger("millrace.kafka")
_POLL_S = 0.2
_RETRY_S = 2.0
# Between two questions that fail: some fail within a microsecond, and each leaves a little memory behind. So
# much later is noticed that Kafka is back, of the seconds that who asks has.
_PAUSE_S = 1.0


class Listener(Protocol):
    """What is told of the records; called from the follower's thread."""

    def reset(self, records: Mapping[str, Record | None], log_id: str) -> None: ...
    def apply(self, model: str, record: Record | None) -> None: ...
    def away(self, reason: str) -> None: ...


def connection(kafka: Kafka, tls: Tls | None) -> dict[str, Any]:
    """librdkafka's settings for a client of the site."""
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(kafka.brokers),
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 250,
        "reconnect.backoff.max.ms": 2000,
        # Errors come by callback; the library's own lines would fill the journal.
        "log_level": 0,
    }
    if tls:
        settings |= {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": tls.ca,
            "ssl.certificate.location": tls.certificate,
            "ssl.key.location": tls.key,
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": kafka.username,
            "sasl.password": Path(kafka.password_file).read_text().strip(),
        }
    return settings


class Follower(threading.Thread):
    """Reads all partitions from their begin, without a group: every process sees every record."""

    def __init__(self, kafka: Kafka, tls: Tls | None, name: str, listener: Listener) -> None:
        super().__init__(name="deployment-records", daemon=True)
        self._kafka = kafka
        self._tls = tls
        self._name = name
        self._listener = listener
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._asked = 0
        self._answered = 0
        # Callers of `refresh` that have not given up.
        self._waiting = 0
        self._problem = "not connected yet"
        self._error = ""

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except Exception as error:
                reason = self._error or _words(error)
                if reason != self._problem:
                    log.warning("Kafka is away: %s", reason)
                self._tell_away(reason)
            self._stopped.wait(_RETRY_S)

    def stop(self) -> None:
        self._stopped.set()

    def refresh(self, timeout: float) -> None:
        """Return when every record that was written before the call has been told to the listener.

        Raises `Away` when that takes more than `timeout` seconds.
        """
        with self._changed:
            self._asked += 1
            self._waiting += 1
            ticket = self._asked
            try:
                if not self._changed.wait_for(lambda: self._answered >= ticket, timeout):
                    raise Away(self._problem or "it does not answer in time")
            finally:
                self._waiting -= 1

    def _follow(self) -> None:
        self._error = ""
        certificate = self._certificate()
        consumer = Consumer(
            connection(self._kafka, self._tls)
            | {
                # Asked for by the client library; offsets are never committed and no group is joined.
                "group.id": self._name,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                # A gap in the log means reading anew: old records must not be applied over newer ones.
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 200,
                "error_cb": self._on_error,
            }
        )
        try:
            positions = self._assign(consumer)
            admin = AdminClient(connection(self._kafka, self._tls) | {"error_cb": self._on_error})
            # Asked before anything is read: a topic made anew meanwhile is seen when it is asked again.
            log_id = self._topic_id(admin)
            targets = self._ends(consumer, positions)
            found: dict[str, Record | None] = {}
            self._read(consumer, positions, targets, found)
            self._listener.reset(found, log_id)
            self._problem = ""
            log.info("deployment records are read: %d models", sum(1 for record in found.values() if record))
            while not self._stopped.is_set() and certificate == self._certificate():
                self._go_on(consumer, positions, admin, log_id)
        except KafkaException:
            # Lets the library say why, by its callback.
            consumer.poll(0)
            raise
        finally:
            consumer.close()

    def _topic_id(self, admin: AdminClient) -> str:
        """Kafka's id of the topic, which is another one when the topic is made anew."""
        topic = self._kafka.topic
        asked = admin.describe_topics(TopicCollection([topic]), request_timeout=self._kafka.away_after)
        return str(asked[topic].result().topic_id)

    def _assign(self, consumer: Consumer) -> dict[int, int]:
        topic = self._kafka.topic
        metadata = consumer.list_topics(topic, timeout=self._kafka.away_after).topics[topic]
        if metadata.error or not metadata.partitions:
            raise Away(
                f"topic {topic}: {brief(metadata.error) if metadata.error else 'it has no partitions'}"
            )
        positions: dict[int, int] = {}
        for partition in metadata.partitions:
            place = TopicPartition(topic, partition)
            positions[partition] = consumer.get_watermark_offsets(place, timeout=self._kafka.away_after)[0]
        consumer.assign([TopicPartition(topic, p, offset) for p, offset in positions.items()])
        return positions

    def _ends(self, consumer: Consumer, positions: Mapping[int, int]) -> dict[int, int]:
        topic = self._kafka.topic
        return {
            p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=self._kafka.away_after)[1]
            for p in positions
        }

    def _read(
        self,
        consumer: Consumer,
        positions: dict[int, int],
        targets: Mapping[int, int],
        found: dict[str, Record | None],
    ) -> None:
        """Read up to `targets`, the last record of each model into `found`."""
        last = time.monotonic()
        while any(positions[p] < end for p, end in targets.items()) and not self._stopped.is_set():
            change = self._next(consumer, positions)
            if change is not _NOTHING:
                found.update([change])
                last = time.monotonic()
            elif time.monotonic() - last > 2 * self._kafka.away_after:
                raise Away("it stopped answering")

    def _go_on(self, consumer: Consumer, positions: dict[int, int], admin: AdminClient, log_id: str) -> None:
        with self._changed:
            asked, waiting = self._asked, self._waiting
        if not waiting or asked == self._answered:
            self._apply_next(consumer, positions)
            return
        try:
            targets = self._ends(consumer, positions)
            anew = self._topic_id(admin) != log_id
        except KafkaException as error:
            # The consumer reconnects by itself; who asked waits until it did, or gives up.
            self._problem = self._error or _words(error)
            self._stopped.wait(_PAUSE_S)
            self._apply_next(consumer, positions)
            return
        if anew:
            raise Away("the topic was made anew, and is read again")
        changes: dict[str, Record | None] = {}
        self._read(consumer, positions, targets, changes)
        for model, record in changes.items():
            self._listener.apply(model, record)
        with self._changed:
            self._problem = ""
            self._answered = asked
            self._changed.notify_all()

    def _apply_next(self, consumer: Consumer, positions: dict[int, int]) -> None:
        change = self._next(consumer, positions)
        if change is not _NOTHING:
            self._listener.apply(*change)

    def _certificate(self) -> int:
        """Changes when the certificate is renewed: the library reads it only once."""
        return Path(self._tls.certificate).stat().st_mtime_ns if self._tls else 0

    def _next(self, consumer: Consumer, positions: dict[int, int]) -> tuple[str, Record | None]:
        message = consumer.poll(_POLL_S)
        if message is None:
            return _NOTHING
        error = message.error()
        partition, offset = message.partition() or 0, message.offset() or 0
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                positions[partition] = max(positions[partition], offset)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET or error.fatal():
                raise KafkaException(error)
            else:
                self._on_error(error)
            return _NOTHING
        positions[partition] = offset + 1
        return _change(message)

    def _on_error(self, error: KafkaError) -> None:
        # Without a group there is no coordinator to be allowed.
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self._error:
            self._error = brief(error)

    def _tell_away(self, reason: str) -> None:
        self._problem = reason
        try:
            self._listener.away(reason)
        except Exception:
            log.exception("while told that Kafka is away")


_NOTHING: tuple[str, Record | None] = ("", None)


def _change(message: Message) -> tuple[str, Record | None]:
    key, value = message.key(), message.value()
    model = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
    if value is None:
        return model, None
    try:
        record = Record.decode(value if isinstance(value, bytes) else value.encode())
    except (msgspec.MsgspecError, UnicodeError) as error:
        log.error(
            "the record of %s at offset %s cannot be read and is passed over: %s",
            model,
            message.offset(),
            error,
        )
        return _NOTHING
    return model, record


def brief(error: KafkaError) -> str:
    """The library's text without the thread's name and the times in it."""
    return re.sub(r"^\S+: (?=\S+ \S)|\s*\(after .*\)", "", error.str())


def _words(error: Exception) -> str:
    if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
        return brief(error.args[0])
    return str(error) or type(error).__name__
