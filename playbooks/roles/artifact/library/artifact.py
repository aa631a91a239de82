#!/usr/bin/python
"""Unpacks an artifact of the store on a host."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from os import umask
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: artifact
short_description: Installs an artifact of the store
description:
  - Unpacks a tar of the artifact store to O(home), whose last part is the artifact's id.
  - A tar with C(requirements.txt) and C(wheels/) becomes a Python environment made offline by uv.
  - Anything else is unpacked as it is.
  - A directory without its marker is an installation that was cut short, and is made again.
options:
  component: {type: str, required: true, description: Name in the bill of materials.}
  version: {type: str, description: Version in the bill of materials.}
  id: {type: str, required: true, description: Version and digest of what the artifact is made from.}
  sha256: {type: str, required: true, description: Checksum of the tar.}
  home: {type: path, required: true, description: Where it goes.}
  tar: {type: path, description: The tar on the host; without it the module only says whether it is needed.}
author: [Millrace]
"""

EXAMPLES = r"""
- name: Install Kafka
  artifact: "{{ lookup('artifact', 'kafka') }}"
"""

RETURN = r"""
home: {description: Where the artifact is., type: str, returned: always}
"""

MARKER = ".complete"


def digest(path: str) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_environment(module: AnsibleModule, home: Path, parts: Path) -> None:
    """Make a virtual environment at home from wheels, each checked against its hash, without any network."""
    uv = home.parent.parent / "uv" / "current" / "uv"
    env = {
        "UV_CACHE_DIR": str(parts / "cache"),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_OFFLINE": "1",
    }
    venv = [str(uv), "venv", "--quiet", "--python", "/usr/bin/python3", str(home)]
    sync = [str(uv), "pip", "sync", "--quiet", "--python", str(home / "bin" / "python")]
    sync += ["--no-index", "--find-links", str(parts / "wheels"), "--require-hashes"]
    # The cache lies on the same file system and goes away afterwards, so files are moved, in effect.
    sync += ["--link-mode", "hardlink", "--compile-bytecode", str(parts / "requirements.txt")]
    for command in (venv, sync):
        module.run_command(command, check_rc=True, environ_update=env)
    # uv leaves a file that anyone may write to; nothing here is installed into twice.
    (home / ".lock").unlink(missing_ok=True)


def install(module: AnsibleModule, home: Path, tar: str) -> None:
    """Unpack the tar to home; the marker comes last."""
    home.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".new-") as scratch:
        parts = Path(scratch)
        with tarfile.open(tar) as archive:
            archive.extractall(parts, filter="data")
        Path(tar).unlink()
        if (parts / "requirements.txt").exists():
            make_environment(module, home, parts)
        else:
            home.mkdir(mode=0o755)
            for entry in sorted(parts.iterdir()):
                entry.rename(home / entry.name)
    (home / MARKER).touch()


def link(home: Path) -> None:
    """Point `current` at home; keep what it was (it may still be running) and drop everything older."""
    current = home.parent / "current"
    keep = {home.name, str(current.readlink()) if current.is_symlink() else ""}
    fresh = home.parent / ".current"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(home.name)
    fresh.replace(current)
    for other in home.parent.iterdir():
        if other.name not in keep and not other.is_symlink():
            shutil.rmtree(other)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "component": {"type": "str", "required": True},
            "version": {"type": "str"},
            "id": {"type": "str", "required": True},
            "sha256": {"type": "str", "required": True},
            "home": {"type": "path", "required": True},
            "tar": {"type": "path"},
        },
        supports_check_mode=True,
    )
    home = Path(module.params["home"])
    tar = module.params["tar"]
    if tar is None:
        current = home.parent / "current"
        linked = current.is_symlink() and str(current.readlink()) == home.name
        module.exit_json(changed=not ((home / MARKER).exists() and linked), home=str(home))
    if digest(tar) != module.params["sha256"]:
        component = module.params["component"]
        module.fail_json(
            msg=f"What reached this host as {component} is not what the artifact store lists: "
            f"its checksum differs. Run: millrace fetch {component}"
        )
    umask(0o022)
    if not (home / MARKER).exists():
        install(module, home, tar)
    link(home)
    module.exit_json(changed=True, home=str(home))


if __name__ == "__main__":
    main()
