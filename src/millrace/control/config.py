"""control.toml."""

import msgspec

from millrace.serving.config import InvalidConfig, Kafka, Registry, Tls, require_tls_beyond_loopback


class ControlConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Configuration of the control service. Times are in seconds."""

    name: str
    address: str
    port: int
    work_dir: str
    kafka: Kafka
    registry: Registry
    # SRV record that lists the replicas ...
    replicas_srv: str = ""
    # ... or the replicas themselves, as host:port.
    replicas: list[str] = []
    tls: Tls | None = None
    # Common names of the hosts that a gateway runs on, and the header's secret that only gateways know.
    gateway_hosts: list[str] = []
    gateway_secret_file: str = ""
    # Groups of users that may change what is deployed.
    deploy_groups: tuple[str, ...] = ("operators", "scientists")
    prepare_seconds: float = 120.0
    switch_seconds: float = 30.0

    def require_callers_to_prove_themselves(self) -> None:
        """Raises `InvalidConfig` when anyone could say who asks."""
        require_tls_beyond_loopback(self.address, self.tls)
        if self.tls and not (self.gateway_hosts and self.gateway_secret_file):
            raise InvalidConfig(
                "gateway_hosts and gateway_secret_file are needed: they say who may name users"
            )
