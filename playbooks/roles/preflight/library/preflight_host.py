"""What preflight must know of a host beside its facts, asked in one go."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: preflight_host
short_description: Free disk, clock, site marker, missing packages, nameservers and ssh ports of a host
description: Changes nothing.
options:
  packages:
    description: Debian packages to look for.
    type: list
    elements: str
    default: []
  now:
    description: The control machine's time in seconds since the epoch.
    type: float
    required: true
author: [Millrace]
"""

MARKER = Path("/etc/millrace/site")
RESOLV_CONF = Path("/etc/resolv.conf")
# systemd-resolved lists its own upstreams here when resolv.conf leads to its stub.
RESOLVED = Path("/run/systemd/resolve/resolv.conf")
# Role resolver keeps in its resolv.conf what it found there before.
UPSTREAM = "# upstream:"


def missing(packages: list[str]) -> list[str]:
    """Packages that are not installed."""
    if not packages:
        return []
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *packages],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    installed = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")}
    return sorted(set(packages) - installed)


def nameservers(text: str, resolved: str = "") -> list[str]:
    """Resolvers the host used before it became part of a site."""
    for line in text.splitlines():
        if line.startswith(UPSTREAM):
            return line.removeprefix(UPSTREAM).split()
    lines = [line.split() for line in text.splitlines()]
    found = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    return nameservers(resolved) if found == ["127.0.0.53"] and resolved else found


def ssh_ports(configuration: str, connection: str = "") -> list[int]:
    """Ports of ssh on this host.

    `configuration`: what `sshd -T` prints. It binds each `listenaddress HOST:PORT`, each `port` only
    where there is none.
    `connection`: SSH_CONNECTION, whose last word is the port that Ansible came in by.
    """
    lines = [line.split() for line in configuration.splitlines()]
    said = [(words[0], words[1]) for words in lines if len(words) > 1]
    bound = [int(value.rpartition(":")[2]) for key, value in said if key == "listenaddress"]
    listed = bound or [int(value) for key, value in said if key == "port"]
    used = [int(port) for port in connection.split()[3:4]]
    return sorted({*listed, *used}) or [22]


def sshd() -> str:
    """The configuration that sshd runs with."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "/usr/sbin/sshd"
    try:
        return subprocess.run([program, "-T"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def free_mb(directories: tuple[str, ...] = ("/opt", "/var/lib")) -> int:
    """Least free disk among the places that a site fills, in MB."""
    return min(shutil.disk_usage(d if Path(d).is_dir() else "/").free for d in directories) // 1_000_000


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "now": {"type": "float", "required": True},
        },
        supports_check_mode=True,
    )
    answer: dict[str, Any] = {
        "clock_s": round(time.time() - module.params["now"], 1),
        "disk_mb": free_mb(),
        "site": read(MARKER).strip(),
        "missing_packages": missing(module.params["packages"]),
        "ssh_ports": ssh_ports(sshd(), os.environ.get("SSH_CONNECTION", "")),
        "nameservers": nameservers(read(RESOLV_CONF), read(RESOLVED)),
    }
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
