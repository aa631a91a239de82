"""The log of deployment records: Kafka's compacted topic, read and written."""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, Message, Producer

from millrace.serving.config import Kafka, Tls
from millrace.serving.follower import Away, Follower, brief, connection
from millrace.serving.records import Record

log = logging.getLogger("millrace.control")
_WRITE_S = 15


class _View:
    """What the topic says, kept by a follower."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        self.away_because = ""

    def reset(self, records: Mapping[str, Record | None], log_id: str) -> None:
        with self._lock:
            self._records = {model: record for model, record in records.items() if record}

    def apply(self, model: str, record: Record | None) -> None:
        with self._lock:
            if record is None:
                self._records.pop(model, None)
            else:
                self._records[model] = record

    def away(self, reason: str) -> None:
        self.away_because = reason

    def copy(self) -> dict[str, Record]:
        with self._lock:
            return dict(self._records)


class DeploymentLog:
    """Nothing is kept but what Kafka says: every question is asked of its end."""

    def __init__(self, kafka: Kafka, tls: Tls | None, name: str) -> None:
        self._kafka = kafka
        self._view = _View()
        self._follower = Follower(kafka, tls, f"control.{name}", self._view)
        self._settings = connection(kafka, tls) | {
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": _WRITE_S * 1000,
            "error_cb": lambda error: log.warning("Kafka: %s", brief(error)),
        }

    def start(self) -> None:
        self._follower.start()

    def stop(self) -> None:
        self._follower.stop()

    def records(self) -> dict[str, Record]:
        """All records, by model, as of now; raises `Away`."""
        self._follower.refresh(2 * self._kafka.away_after)
        return self._view.copy()

    def append(self, model: str, record: Record | None) -> None:
        """Write a record (None: no longer deployed); it is in all in-sync brokers then. Raises `Away`."""
        failure: list[Any] = []
        delivered = threading.Event()

        def report(error: Any, _: Message) -> None:
            if error is not None:
                failure.append(error)
            delivered.set()

        try:
            # Records are few: a connection for each uses a renewed certificate and inherits no failure.
            producer = Producer(self._settings)
            producer.produce(
                self._kafka.topic,
                key=model.encode(),
                value=record.encode() if record else None,
                on_delivery=report,
            )
            producer.flush(_WRITE_S + 5)
        except (KafkaException, BufferError) as error:
            raise Away(str(error)) from error
        if not delivered.is_set() or failure:
            raise Away(brief(failure[0]) if failure else "the record was not confirmed")
