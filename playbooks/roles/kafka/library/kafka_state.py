#!/usr/bin/python
"""Keeps topics, users and their rights; runs under a Python that has confluent-kafka."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

DOCUMENTATION = r"""
module: kafka_state
short_description: Keeps topics, users and their rights in Kafka
description:
  - Creates missing topics, settings, users and passwords.
  - Makes the rights of the named users exactly what is asked.
  - Topics and users that are not named are left alone.
options:
  bootstrap: {type: str, required: true, description: Brokers as host:port.}
  ca: {type: path, required: true, description: CA certificate.}
  certificate: {type: path, required: true, description: Client certificate.}
  key: {type: path, required: true, description: Its key.}
  password: {type: str, required: true, description: Password of the user admin.}
  topics: {type: list, elements: dict, required: true, description: "Topics: name, partitions, config."}
  replication: {type: int, required: true, description: Replication of new topics.}
  users: {type: list, elements: dict, required: true, description: "Users: name, topics, groups."}
  passwords: {type: dict, required: true, description: Password by user.}
author: [Millrace]
"""

EXAMPLES = r"""
- name: Keep a topic
  kafka_state:
    bootstrap: node1.millrace.internal:9092
    ca: /etc/millrace/tls/ca.crt
    certificate: /etc/millrace/tls/host.crt
    key: /etc/millrace/tls/host.key
    password: secret
    topics: [{name: numbers}]
    replication: 1
    users: []
    passwords: {}
"""

RETURN = r"""
changes: {description: What was changed or would be., type: list, returned: always}
"""

TIMEOUT = 20.0


def connect(params: dict[str, Any], user: str, password: str) -> AdminClient | None:
    """Return a client that is logged in as user, or None when Kafka refuses the password."""
    refused = []

    def on_error(error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            refused.append(error)

    client = AdminClient(
        {
            "bootstrap.servers": params["bootstrap"],
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": params["ca"],
            "ssl.certificate.location": params["certificate"],
            "ssl.key.location": params["key"],
            "error_cb": on_error,
            "log_level": 0,
        }
    )
    deadline = time.monotonic() + TIMEOUT
    while not refused:
        try:
            client.list_topics(timeout=1.0)
            return client
        except KafkaException:
            client.poll(0.1)
            if not refused and time.monotonic() > deadline:
                raise
    return None


def keep_topics(client: AdminClient, params: dict[str, Any], dry: bool) -> list[str]:
    """Create missing topics and set what differs in the others."""
    there = client.list_topics(timeout=TIMEOUT).topics
    changes = []
    for topic in params["topics"]:
        name = topic["name"]
        config = {key: str(value) for key, value in (topic.get("config") or {}).items()}
        if name not in there:
            changes.append(f"create topic {name}")
            if not dry:
                new = NewTopic(name, topic.get("partitions", 1), params["replication"], config=config)
                client.create_topics([new])[name].result(TIMEOUT)
            continue
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        now = client.describe_configs([resource])[resource].result(TIMEOUT)
        wrong = {key: value for key, value in config.items() if key not in now or now[key].value != value}
        if wrong:
            changes.append(f"set {', '.join(sorted(wrong))} of topic {name}")
        if wrong and not dry:
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in wrong.items()
            ]
            resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
            client.incremental_alter_configs([resource])[resource].result(TIMEOUT)
    return changes


def wanted_rights(user: dict[str, Any]) -> set[AclBinding]:
    """Return the bindings of a user as declared."""
    principal = f"User:{user['name']}"

    def allow(
        kind: ResourceType, name: str, pattern: ResourcePatternType, operation: AclOperation
    ) -> AclBinding:
        return AclBinding(kind, name, pattern, principal, "*", operation, AclPermissionType.ALLOW)

    topics = {
        allow(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, AclOperation[operation.upper()])
        for topic, operations in (user.get("topics") or {}).items()
        for operation in operations
    }
    groups = {
        allow(ResourceType.GROUP, group, ResourcePatternType.PREFIXED, AclOperation[operation])
        for group in user.get("groups") or []
        for operation in ("READ", "DESCRIBE")
    }
    return topics | groups


def keep_rights(client: AdminClient, params: dict[str, Any], dry: bool) -> list[str]:
    """Make the rights of the named users what is declared, no more and no less."""
    changes = []
    every = (ResourceType.ANY, None, ResourcePatternType.ANY)
    for user in params["users"]:
        principal = f"User:{user['name']}"
        mine = AclBindingFilter(*every, principal, None, AclOperation.ANY, AclPermissionType.ANY)
        now = set(client.describe_acls(mine).result(TIMEOUT))
        wanted = wanted_rights(user)
        if wanted - now:
            changes.append(f"grant {len(wanted - now)} rights to {user['name']}")
        if now - wanted:
            changes.append(f"revoke {len(now - wanted)} rights of {user['name']}")
        if dry:
            continue
        for future in client.create_acls(list(wanted - now)).values() if wanted - now else []:
            future.result(TIMEOUT)
        surplus = [
            AclBindingFilter(
                acl.restype,
                acl.name,
                acl.resource_pattern_type,
                acl.principal,
                acl.host,
                acl.operation,
                acl.permission_type,
            )
            for acl in now - wanted
        ]
        for future in client.delete_acls(surplus).values() if surplus else []:
            future.result(TIMEOUT)
    return changes


def keep_passwords(client: AdminClient, params: dict[str, Any], dry: bool) -> list[str]:
    """Set the password of users that do not exist or cannot log in with theirs."""
    changes = []
    known = client.describe_user_scram_credentials().result(TIMEOUT)
    for user, password in params["passwords"].items():
        if user in known and connect(params, user, password) is not None:
            continue
        changes.append(f"set the password of {user}")
        if not dry:
            info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
            upsertion = UserScramCredentialUpsertion(user, info, password.encode())
            client.alter_user_scram_credentials([upsertion])[user].result(TIMEOUT)
    return changes


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "bootstrap": {"type": "str", "required": True},
            "ca": {"type": "path", "required": True},
            "certificate": {"type": "path", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
            "password": {"type": "str", "required": True, "no_log": True},
            "topics": {"type": "list", "elements": "dict", "required": True},
            "replication": {"type": "int", "required": True},
            "users": {"type": "list", "elements": "dict", "required": True},
            "passwords": {"type": "dict", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        client = connect(params, "admin", params["password"])
        if client is None:
            module.fail_json(
                msg="Kafka refuses the password of admin: its storage was formatted with another one. "
                "Put that one back into the secrets file as kafka_admin."
            )
        changes = []
        for keep in (keep_topics, keep_passwords, keep_rights):
            changes += keep(client, params, module.check_mode)
    except KafkaException as error:
        module.fail_json(msg=f"Kafka at {params['bootstrap']}: {error.args[0].str()}")
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
