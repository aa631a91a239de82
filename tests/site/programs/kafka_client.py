"""Asks Kafka one thing as one user, from a host of the site; prints {"answer": ...} or {"error": "..."}.

The argument is JSON: `settings` of librdkafka, `do` (one of the functions here) and what that takes.
"""

import json
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

SECONDS = 15


def read(settings, topic):
    """Keys and values of partition 0, from its begin to its present end."""
    consumer = Consumer(settings | {"group.id": "prediction.test", "enable.auto.commit": False})
    here = TopicPartition(topic, 0)
    start, end = consumer.get_watermark_offsets(here, timeout=SECONDS)
    consumer.assign([TopicPartition(topic, 0, start)])
    records, deadline = [], time.monotonic() + SECONDS
    # Compaction and transactions leave gaps, so the position says where the end is, not a count.
    while consumer.position([here])[0].offset < end and start < end:
        message = consumer.poll(1)
        if time.monotonic() > deadline:
            raise TimeoutError(f"read {len(records)} records, the end {end} is still ahead")
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        value = message.value()
        records.append([message.key().decode(), value.decode() if value is not None else None])
    consumer.close()
    return records


def write(settings, topic, key, value):
    """One record; an empty value is a tombstone."""
    failures = []
    producer = Producer(settings | {"acks": "all", "message.timeout.ms": SECONDS * 1000})
    producer.produce(
        topic, key=key, value=value or None, on_delivery=lambda error, _: error and failures.append(error)
    )
    if producer.flush(SECONDS + 1):
        raise TimeoutError("not confirmed")
    if failures:
        raise KafkaException(failures[0])


def create(settings, topic):
    client = AdminClient(settings)
    client.create_topics([NewTopic(topic, 1)])[topic].result(SECONDS)


def describe(settings, topic):
    """Settings of a topic and, beside them, the replicas of each partition."""
    client = AdminClient(settings)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    found = client.describe_configs([resource])[resource].result(SECONDS)
    partitions = client.list_topics(topic, timeout=SECONDS).topics[topic].partitions
    return {
        "settings": {name: entry.value for name, entry in found.items()},
        "replicas": [p.replicas for p in partitions.values()],
    }


def log_in(settings):
    """A refused password is reported by callback only, while the client tries again for ever."""
    refused = []
    client = AdminClient(settings | {"error_cb": lambda error: refused.append(error)})
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return sorted(client.list_topics(timeout=0.5).topics)
        except KafkaException as error:
            client.poll(0.1)
            for given in refused:
                if given.name() in ("_AUTHENTICATION", "_SSL"):
                    raise KafkaException(given) from None
            if time.monotonic() > deadline:
                raise error


question = json.loads(sys.argv[1])
verbs = {"read": read, "write": write, "create": create, "describe": describe, "log_in": log_in}
do = verbs[question.pop("do")]
try:
    print(json.dumps({"answer": do(**question)}))
except KafkaException as error:
    print(json.dumps({"error": error.args[0].name()}))
