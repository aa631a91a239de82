"""A host of a site: a systemd container with a fixed address, reached by ssh."""

from __future__ import annotations

import io
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from millrace.box import LABEL, image, network
from millrace.problem import Problem

PATIENCE = 90.0
FIRST_ADDRESS = 11


def name_of(site: str, node: str) -> str:
    return f"millrace-{site}-{node}"


def find(client: docker.DockerClient, site: str, node: str) -> Container | None:
    """The container of a site's host, running or not."""
    try:
        container = client.containers.get(name_of(site, node))
    except NotFound:
        return None
    if container.labels.get(LABEL) != site:
        raise Problem(
            f"A container {name_of(site, node)} is there that Millrace did not make: rename or remove it."
        )
    return container


def published_port(container: Container) -> int | None:
    """The loopback port of this machine that leads to the host's gateway."""
    bindings = container.attrs["HostConfig"].get("PortBindings") or {}
    published = bindings.get("443/tcp")
    return int(published[0]["HostPort"]) if published else None


def check_publisher(client: docker.DockerClient, port: int) -> None:
    """Raises Problem when a running container has that port of this machine."""
    for container in client.containers.list():
        for bindings in (container.ports or {}).values():
            if any(int(binding["HostPort"]) == port for binding in bindings or ()):
                site = container.labels.get(LABEL)
                whose = f"site {site}" if site else f"the container {container.name}"
                raise Problem(f"Port {port} is taken by {whose}: end that, or choose another with --port.")


def address_of(container: Container, net: Network) -> str:
    """The host's fixed address."""
    return str(container.attrs["NetworkSettings"]["Networks"][net.name]["IPAMConfig"]["IPv4Address"])


def make(
    client: docker.DockerClient,
    site: str,
    node: str,
    number: int,
    net: Network,
    public_key: str,
    port: int | None,
) -> Container:
    """The running container of a host, made or started when it is not. Raises Problem.

    `number` counts the site's hosts from 0 and decides the address; `public_key` may log in as root;
    `port` on this machine's loopback leads to the host's gateway.
    """
    container = find(client, site, node)
    try:
        if container is not None and container.status == "created":
            # Interrupted before its key was in place.
            container.remove(force=True)
            container = None
        if container is None:
            container = _create(
                client, site, node, str(network.subnet_of(net)[FIRST_ADDRESS + number]), net, port
            )
            container.put_archive("/", _archive({"root/.ssh/authorized_keys": (public_key.encode(), 0o600)}))
        if container.status != "running":
            container.start()
        container.reload()
    except APIError as error:
        raise Problem(f"The engine could not start {name_of(site, node)}: {error.explanation}") from error
    return container


def _create(
    client: docker.DockerClient, site: str, node: str, address: str, net: Network, port: int | None
) -> Container:
    api = client.api
    config: dict[str, Any] = api.create_host_config(
        cap_add=["SYS_ADMIN", "NET_ADMIN"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        tmpfs={"/run": "", "/tmp": ""},
        binds=["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
        port_bindings={443: ("127.0.0.1", port)} if port else None,
        restart_policy={"Name": "unless-stopped"},
        network_mode=net.name,
    )
    # What `docker run` makes of --cgroupns=host and of --security-opt systempaths=unconfined.
    config |= {"CgroupnsMode": "host", "MaskedPaths": [], "ReadonlyPaths": []}
    created = api.create_container(
        image.TAG,
        name=name_of(site, node),
        hostname=node,
        labels={LABEL: site},
        ports=[443] if port else None,
        host_config=config,
        networking_config=api.create_networking_config(
            # The published stubs take one endpoint; the library takes them by network.
            {net.name: api.create_endpoint_config(ipv4_address=address, aliases=[node])}  # type: ignore[arg-type]
        ),
    )
    return client.containers.get(created["Id"])


def _archive(files: dict[str, tuple[bytes, int]]) -> io.BytesIO:
    """A tar of name -> (content, mode), as the engine takes files for a container."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    out.seek(0)
    return out


def host_keys(container: Container, address: str, note: Callable[[str], None]) -> str:
    """Lines for a known_hosts file, read in the container itself once its sshd answers. Raises Problem."""
    deadline = time.monotonic() + PATIENCE
    while not answers(address):
        container.reload()
        if container.status != "running" or time.monotonic() > deadline:
            said = container.logs(tail=5).decode(errors="replace").strip()
            raise Problem(
                f"{container.name} does not answer ssh at {address} ({container.status}): {said or 'no log'}"
            )
        note(f"waiting for ssh at {address}")
        time.sleep(0.3)
    code, keys = container.exec_run(["sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub"])
    if code or not isinstance(keys, bytes):
        raise Problem(f"{container.name} has no ssh host keys: `./millrace down` and make it again.")
    return "".join(f"{address} {' '.join(line.split()[:2])}\n" for line in keys.decode().splitlines())


def answers(address: str, port: int = 22) -> bool:
    """Whether an ssh server greets."""
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def key_pair(directory: Path) -> tuple[Path, str]:
    """The site's own ssh key: path of the private half, text of the public one."""
    private = directory / "ssh" / "id_ed25519"
    public = private.with_suffix(".pub")
    if not public.exists():
        private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private.unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "millrace", "-f", str(private)]
        subprocess.run(words, check=True, capture_output=True)
    return private, public.read_text()


def remove_all(client: docker.DockerClient, site: str) -> list[str]:
    """Remove containers, volumes and networks of a site. Returns their names."""
    label: dict[str, str | list[str] | bool] = {"label": f"{LABEL}={site}"}
    gone = []
    for container in client.containers.list(all=True, filters=label):
        container.remove(force=True, v=True)
        gone.append(f"container {container.name}")
    for volume in client.volumes.list(filters=label):
        volume.remove(force=True)
        gone.append(f"volume {volume.name}")
    for net in client.networks.list(filters=label):
        net.remove()
        gone.append(f"network {net.name}")
    return gone
