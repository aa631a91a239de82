"""The site under test, as its operator knows it: hosts, variables, names, users.

`MILLRACE_SITE_DIR` names the state directory of a converged site (the one that holds `site.json`).
Variables are asked of Ansible itself, so a test never repeats a port or a size.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests
import yaml

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
WANTED = [
    "site_services",
    "site_size",
    "site_domain",
    "site_users",
    "site_prediction_sockets",
    "site_python",
    "site_tls_dir",
    "site_tls_group",
]


class Site:
    """What tests know of the live site."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.facts: dict[str, Any] = json.loads((directory / "site.json").read_text())
        self.ca = self.facts["ca"]
        self.gateway: str = self.facts["gateway"]

    @functools.cached_property
    def variables(self) -> dict[str, Any]:
        """Site-wide variables with the inventory's values, templates resolved."""
        wanted = "{{ {" + ", ".join(f"'{name}': {name}" for name in WANTED) + "} }}"
        inventories = [word for path in self.facts["inventories"] for word in ("-i", path)]
        run = subprocess.run(
            [Path(sys.executable).parent / "ansible", "edge[0]", *inventories, "--playbook-dir", PLAYBOOKS,
             "-m", "ansible.builtin.debug", "-a", f"msg={wanted}"],
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
                 "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"},
            capture_output=True, text=True, cwd=PLAYBOOKS, check=False,
        )  # fmt: skip
        if run.returncode:
            raise RuntimeError(f"Ansible could not read the site's variables:\n{run.stdout}{run.stderr}")
        document, _ = json.JSONDecoder().raw_decode(run.stdout.split("=>", 1)[1].strip())
        return document["msg"]

    @property
    def domain(self) -> str:
        return self.variables["site_domain"]

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """The map of connections: service name -> port, group, from, ..."""
        return self.variables["site_services"]

    @property
    def size(self) -> dict[str, dict[str, Any]]:
        """The row of the sizing table that this site uses."""
        return self.variables["site_size"]

    @functools.cached_property
    def secrets(self) -> dict[str, str]:
        document = yaml.safe_load(Path(self.facts["secrets"]).read_text())
        return document.get("site_secrets", document)

    def members(self, group: str) -> list[dict[str, Any]]:
        """Hosts of a group in inventory order: name, address, ssh_key."""
        return [h for h in self.facts["hosts"] if group == "all" or group in h["groups"]]

    def hosts(self, group: str) -> list[str]:
        """testinfra host specifications of a group's hosts."""
        config = self.directory / "ssh_config"
        config.write_text("".join(self._ssh_entry(h) for h in self.facts["hosts"]))
        return [f"ssh://{h['name']}?ssh_config={config}&controlpersist=120" for h in self.members(group)]

    def _ssh_entry(self, host: dict[str, Any]) -> str:
        known = self.directory / "known_hosts"
        options = {
            "HostName": host["address"],
            "User": "root",
            "IdentityFile": host["ssh_key"],
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "UserKnownHostsFile": known if known.exists() else "/dev/null",
            "StrictHostKeyChecking": "yes" if known.exists() else "no",
        }
        return f"Host {host['name']}\n" + "".join(f"  {key} {value}\n" for key, value in options.items())

    def name(self, host: Any) -> str:
        """The inventory's name of a testinfra host."""
        return host.backend.get_pytest_id().split("://")[-1].split("?")[0]

    def address(self, host: Any) -> str:
        """The site address of a testinfra host."""
        return next(h["address"] for h in self.facts["hosts"] if h["name"] == self.name(host))

    def user(self, group: str = "operators") -> tuple[str, str]:
        """Name and password of the first declared user of a group."""
        name = next(u["name"] for u in self.variables["site_users"] if u["group"] == group)
        return name, self.secrets[f"user_{name}"]

    def client(self, *, login: bool = True) -> requests.Session:
        """A session that trusts the site's CA and reaches every name of the zone through the gateway."""
        _resolve_at_gateway(self.domain, self.gateway)
        session = requests.Session()
        session.trust_env = False  # a CA bundle or proxy of this machine is not the site's
        session.verify = self.ca
        session.auth = self.user() if login else None
        return session

    def url(self, name: str, path: str = "/") -> str:
        """Address of a named service, as a browser inside the site would write it."""
        return f"https://{name}.{self.domain}{path}"


def _resolve_at_gateway(domain: str, gateway: str) -> None:
    """Names of the zone lead to the published gateway in this process, as /etc/hosts would have it."""
    original = getattr(socket.getaddrinfo, "original", socket.getaddrinfo)
    address, port = gateway.rsplit(":", 1)

    def getaddrinfo(host: Any, service: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(host, str) and host.endswith(f".{domain}"):
            return original("127.0.0.1" if address == "localhost" else address, int(port), *args, **kwargs)
        return original(host, service, *args, **kwargs)

    getaddrinfo.original = original  # type: ignore[attr-defined]
    socket.getaddrinfo = getaddrinfo


SITE = Site(Path(os.environ.get("MILLRACE_SITE_DIR", Path.home() / ".local/state/millrace/test")))
