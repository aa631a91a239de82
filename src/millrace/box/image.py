"""The image that hosts of the box start from: built from `images/host`, anew when that changes."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, ImageNotFound

from millrace import project
from millrace.problem import Problem

TAG = "millrace-host:latest"
DEFINITION = "org.millrace.definition"


def definition() -> str:
    """Digest of the files that the image is made from."""
    return project.digest([project.root() / "images/host"])


def current(client: docker.DockerClient) -> str | None:
    """Id of the image when it is there and made from the present definition."""
    try:
        image = client.images.get(TAG)
    except ImageNotFound:
        return None
    return image.id if image.labels.get(DEFINITION) == definition() else None


def build(
    client: docker.DockerClient,
    run: Callable[[Sequence[str], Callable[[str], None]], int],
    note: Callable[[str], None],
) -> str:
    """Id of the image, built when it is not there. `run` runs a program, handing on each line it prints.

    Raises Problem when Debian's packages cannot be fetched or the engine refuses.
    """
    there = current(client)
    if there:
        return there
    if shutil.which("mmdebstrap") is None:
        raise Problem(
            "mmdebstrap is not installed: `apt-get install mmdebstrap`, or start Millrace as ./millrace."
        )
    home = project.root() / "images/host"
    with tempfile.TemporaryDirectory(prefix="millrace-image-", dir="/var/tmp") as scratch:
        rootfs, said = Path(scratch) / "rootfs.tar", []

        def listen(line: str) -> None:
            said.append(line)
            if line.startswith("I: "):
                note(f"mmdebstrap: {line[3:]}")

        words = [str(home / "rootfs.sh"), str(rootfs)]
        own = sources(_apt_targets())
        if own:
            path = Path(scratch) / "sources.list"
            path.write_text(own)
            words.append(str(path))
        if run(words, listen):
            errors = [line for line in said if line.startswith(("E:", "W:"))] or said
            raise Problem(
                f"Debian's packages for the host image could not be fetched: {' '.join(errors[:2])[:300]}"
            )
        note("docker build")
        return _build(client, home, rootfs)


def _build(client: docker.DockerClient, home: Path, rootfs: Path) -> str:
    with tempfile.TemporaryFile(dir=rootfs.parent) as context:
        with tarfile.open(fileobj=context, mode="w") as tar:
            tar.add(rootfs, "rootfs.tar")
            for path in sorted(p for p in home.iterdir() if p.is_file()):
                tar.add(path, path.name)
        rootfs.unlink()
        context.seek(0)
        try:
            image, _ = client.images.build(
                fileobj=context, custom_context=True, tag=TAG, rm=True, forcerm=True,
                labels={DEFINITION: definition()},
            )  # fmt: skip
        except (BuildError, APIError) as error:
            raise Problem(f"The engine could not build {TAG}: {error}") from error
    return str(image.id)


def remove(client: docker.DockerClient) -> str:
    """Remove the image unless a container still uses it. Returns what was done."""
    try:
        image = client.images.get(TAG)
    except ImageNotFound:
        return f"no image {TAG}"
    users = client.containers.list(all=True, filters={"ancestor": str(image.id)})
    if users:
        return f"image {TAG} stays for {', '.join(sorted(c.name or '' for c in users))}"
    client.images.remove(str(image.id), force=True)
    return f"image {TAG} removed"


def _apt_targets() -> str:
    run = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.stdout


def sources(targets: str) -> str:
    """A sources.list for Debian 13 at this machine's mirrors (`LABEL URI` lines), if it has any."""
    found: dict[str, str] = {}
    for line in targets.splitlines():
        label, _, uri = line.partition(" ")
        found.setdefault(label, uri.strip())
    if "Debian" not in found or "Debian-Security" not in found:
        return ""
    return (
        f"deb {found['Debian']} trixie main\n"
        f"deb {found['Debian']} trixie-updates main\n"
        f"deb {found['Debian-Security']} trixie-security main\n"
    )
