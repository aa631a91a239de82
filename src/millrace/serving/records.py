"""Deployment records: what is live, one for each model, in a compacted Kafka topic under the model's name."""

import re

import msgspec

from millrace.serving.policy import Policy

# A name is a part of paths and a key: nothing that needs quoting.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
#: As the registry counts them.
MODEL_VERSION = re.compile(r"[0-9]{1,18}")


class Record(msgspec.Struct, frozen=True):
    """`generation` grows by one with every record of a model; `time` is UTC, ISO 8601."""

    model: str
    version: str
    digest: str
    generation: int
    replicas: list[str] = []
    user: str = ""
    time: str = ""
    policy: Policy = Policy()

    @property
    def digests(self) -> list[str]:
        """Of all bundles that serving this record takes."""
        fallback = self.policy.fallback
        return [self.digest, fallback.digest] if fallback and fallback.version else [self.digest]

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """Raises `msgspec.MsgspecError`. Unknown fields are for newer readers."""
        return msgspec.json.decode(data, type=cls)


class State(msgspec.Struct, frozen=True):
    """What a replica serves, by model, and which log said so: Kafka's id of the topic, where it is known."""

    models: dict[str, Record]
    logs: dict[str, str] = {}
