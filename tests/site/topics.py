"""What Kafka answers to its users, asked from the first store host by the names that the zone gives."""

from __future__ import annotations

from typing import Any

import testinfra

from tests.site.inside import TLS, run_program
from tests.site.live import SITE

# The topic of deployment records, by the name that the services that follow it are configured with.
DEPLOYMENTS = "millrace.deployments"


def kafka(user: str, do: str, password: str = "", **question: Any) -> Any:
    """What a function of programs/kafka_client.py gives a user: {"answer": ...} or {"error": ...}."""
    settings = {
        "bootstrap.servers": ",".join(
            f"{member['name']}.{SITE.domain}:{SITE.services['kafka']['port']}"
            for member in SITE.members("store")
        ),
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": password or SITE.secrets[f"kafka_{user}"],
        "ssl.ca.location": f"{TLS}/ca.crt",
        "ssl.certificate.location": f"{TLS}/host.crt",
        "ssl.key.location": f"{TLS}/host.key",
        "log_level": 0,
    }
    first = testinfra.get_host(SITE.hosts("store")[0])
    return run_program(first, "kafka_client.py", {"do": do, "settings": settings, **question}, "kafka-admin")


def records() -> dict[str, str]:
    """Last value under each key, as a prediction server reads them."""
    answer = kafka("prediction", "read", topic=DEPLOYMENTS)
    assert "answer" in answer, answer
    return {key: value for key, value in dict(answer["answer"]).items() if value is not None}
