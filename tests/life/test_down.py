"""`millrace down` leaves nothing of a site behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import docker
import pytest

from millrace.box import LABEL, image
from tests.site.live import SITE

NAME = SITE.facts["name"]


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    """The engine, which stays as long as it has a container of somebody else's."""
    client = docker.from_env()
    other = client.containers.create(image.TAG, "true")
    yield client
    other.remove()


def left(client: docker.DockerClient) -> list[str]:
    """Containers, networks and volumes of the site."""
    label = {"label": f"{LABEL}={NAME}"}
    return [
        *(str(container.name) for container in client.containers.list(all=True, filters=label)),
        *(str(network.name) for network in client.networks.list(filters=label)),
        *(str(volume.name) for volume in client.volumes.list(filters=label)),
    ]


def test_nothing_is_left(client: docker.DockerClient) -> None:
    assert len(left(client)) >= 2, "there was no site to remove"
    volumes = {volume.name for volume in client.volumes.list()}
    run = subprocess.run(
        [sys.executable, "-m", "millrace.cli", "down", "--site", SITE.directory.name, "--keep-images"],
        env={**os.environ, "MILLRACE_STATE": str(SITE.directory.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert left(client) == []
    assert {volume.name for volume in client.volumes.list()} <= volumes
    assert not SITE.directory.exists()
