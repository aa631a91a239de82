"""A site as a verb talks to it: its hosts, its gateway, its users, where its secrets are."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from millrace import project
from millrace.problem import Problem


@dataclasses.dataclass(frozen=True)
class Host:
    """One host, as Ansible reaches it. ssh decides on a key (a path), user or port that is empty or 0.

    `become`: commands need sudo there.
    """

    name: str
    address: str
    ssh_key: str = ""
    groups: tuple[str, ...] = ()
    user: str = ""
    port: int = 0
    become: bool = False


@dataclasses.dataclass(frozen=True)
class Site:
    """What `site.json` in a site's state directory says. Paths are absolute; `gateway` is `host:port`."""

    name: str
    directory: Path
    gateway: str
    ca: str
    domain: str
    secrets: str
    hosts: tuple[Host, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    inventories: tuple[str, ...] = ()
    #: `name`, `group`, and `password` is `hashed` where the inventory has only its hash.
    users: tuple[Mapping[str, str], ...] = ()
    containers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> Site:
        """The site whose state is in `directory`. Raises FileNotFoundError, or Problem for a broken file."""
        path = directory / "site.json"
        try:
            fields = json.loads(path.read_text())
            hosts = tuple(Host(**{**host, "groups": tuple(host["groups"])}) for host in fields.pop("hosts"))
            for name in ("inventories", "users"):
                fields[name] = tuple(fields[name])
            fields["groups"] = {group: tuple(names) for group, names in fields.get("groups", {}).items()}
            return cls(directory=directory, hosts=hosts, **fields)
        except (ValueError, TypeError, KeyError) as error:
            raise Problem(f"{path} is not readable ({error}): delete it and run the verb again.") from error

    def write(self) -> None:
        """Keep it as `site.json`, whole or not at all."""
        fields = {k: v for k, v in dataclasses.asdict(self).items() if k != "directory"}
        self.directory.mkdir(parents=True, exist_ok=True)
        part = self.directory / "site.json.part"
        part.write_text(json.dumps(fields, indent=2) + "\n")
        part.replace(self.directory / "site.json")

    @property
    def url(self) -> str:
        """The gateway's address, as clients write it."""
        return f"https://{self.gateway}"

    def members(self, group: str) -> list[Host]:
        """Hosts of a group, in the order that the inventory has in it; `all` is every host."""
        if group in self.groups:
            return [self.host(name) for name in self.groups[group]]
        return [h for h in self.hosts if group == "all" or group in h.groups]

    def host(self, name: str) -> Host:
        """The host of that name. Raises Problem."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise Problem(
            f"Site {self.name} has no host {name}; its hosts: {', '.join(h.name for h in self.hosts)}."
        )

    def secret(self, name: str) -> str:
        """One generated secret. Raises Problem when there is none yet or the file is encrypted."""
        path = Path(self.secrets)
        try:
            text = path.read_text()
        except OSError as error:
            raise Problem(
                f"{path} is not readable ({error.strerror}): site.yml makes it, so converge the site first."
            ) from error
        if text.startswith("$ANSIBLE_VAULT"):
            text = unlock(path)
        document: dict[str, Any] = yaml.safe_load(text) or {}
        secrets = document.get("site_secrets", document)
        if name not in secrets:
            raise Problem(
                f"{path} has no secret {name}: converge the site again, which makes what is missing."
            )
        return str(secrets[name])

    def user(self, name: str | None = None) -> tuple[str, str]:
        """Name and password of a user. Raises Problem.

        The named one, else $MILLRACE_USER, else the first operator, rather one with a generated password.
        $MILLRACE_PASSWORD is for users whose password has only its hash in the inventory.
        """
        given = os.environ if os.environ.get("MILLRACE_GATEWAY") in (None, "", self.url) else {}
        name = name or given.get("MILLRACE_USER")
        named = [u for u in self.users if (u["name"] == name if name else u["group"] == "operators")]
        if not named:
            known = ", ".join(u["name"] for u in self.users) or "none"
            raise Problem(
                f"Site {self.name} has no user {name or 'of the group operators'}; site_users: {known}."
            )
        user = min(named, key=lambda u: u.get("password") == "hashed")
        if user.get("password") != "hashed":
            return user["name"], self.secret(f"user_{user['name']}")
        if not given.get("MILLRACE_PASSWORD") or given.get("MILLRACE_USER") not in (None, "", user["name"]):
            raise Problem(
                f"User {user['name']} of site {self.name} has only a password_hash: set MILLRACE_USER to "
                "that name and MILLRACE_PASSWORD to the password."
            )
        return user["name"], given["MILLRACE_PASSWORD"]

    def environment(self, user: str | None = None) -> dict[str, str]:
        """What a client outside the site needs, as environment variables."""
        name, password = self.user(user)
        token = self.secret("spark_connect_token")
        return {
            "MILLRACE_GATEWAY": self.url,
            "MILLRACE_CA": self.ca,
            "MILLRACE_USER": name,
            "MILLRACE_PASSWORD": password,
            "MLFLOW_TRACKING_URI": self.url,
            # Else MLflow asks Spark for it, which with SPARK_REMOTE looks for a Spark of this machine.
            "MLFLOW_REGISTRY_URI": self.url,
            # Its links lead to the gateway's address, its pages are under the name `registry.`.
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password,
            "MLFLOW_TRACKING_SERVER_CERT_PATH": self.ca,
            "SPARK_REMOTE": f"sc://{self.gateway}/;use_ssl=true;token={token}",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": self.ca,
        }

    def ssh(self, host: Host, *command: str) -> list[str]:
        """The ssh command line that reaches a host; `command` is run there by a shell, as root."""
        known = self.directory / "known_hosts"
        words = ["ssh", *(["-p", str(host.port)] if host.port else [])]
        if host.ssh_key:
            words += ["-i", host.ssh_key, "-o", "IdentitiesOnly=yes"]
        if known.exists():
            words += ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
        if command and host.become:
            command = ("sudo", "-n", "sh", "-c", shlex.quote(" ".join(command)))
        return [*words, f"{host.user}@{host.address}" if host.user else host.address, *command]


def state_root() -> Path:
    """Where the state of sites made on this machine is: $MILLRACE_STATE or ~/.local/state/millrace."""
    return Path(os.environ.get("MILLRACE_STATE") or Path.home() / ".local/state/millrace").absolute()


def check_name(name: str) -> str:
    """The name, which becomes part of container and directory names. Raises Problem."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,29}", name):
        raise Problem(
            f"{name!r} is no name for a site: use up to 30 letters a-z, digits and dashes, as in trial-2."
        )
    return name


def find(name: str, inventory: Path | None = None) -> Site:
    """The site of a name, or of an inventory of one's own. Raises Problem."""
    if inventory is not None:
        return of_inventory(inventory)
    try:
        return Site.read(state_root() / check_name(name))
    except FileNotFoundError:
        known = sorted(p.parent.name for p in state_root().glob("*/site.json"))
        there = f"sites here: {', '.join(known)}" if known else "no site was made here yet"
        raise Problem(
            f"There is no site {name} ({there}). Make it with `./millrace demo --site {name}`, "
            "or name your own with --inventory PATH."
        ) from None


def of_inventory(path: Path) -> Site:
    """A site converged from an inventory of one's own; asked of Ansible when the inventory has changed."""
    from millrace import ansible

    if not path.exists():
        raise Problem(f"There is no inventory {path}.")
    directory = (path if path.is_dir() else path.parent).absolute() / ".site"
    kept, parts = directory / "site.json", [path.absolute(), project.playbooks() / "group_vars"]
    # What was kept by an older version may lack something.
    parts.append(Path(ansible.__file__))
    newest = max(f.stat().st_mtime for p in parts for f in [p, *p.rglob("*")] if ".site" not in f.parts)
    if kept.exists() and kept.stat().st_mtime > newest:
        return Site.read(directory)
    site = ansible.describe([path.absolute()])
    site.write()
    return site


def unlock(path: Path) -> str:
    """Text of a file that ansible-vault encrypted. Raises Problem when no password is at hand."""
    import subprocess
    import sys

    vault = Path(sys.executable).parent / "ansible-vault"
    run = subprocess.run([vault, "view", path], capture_output=True, text=True, check=False)
    if run.returncode:
        raise Problem(
            f"{path} is encrypted with ansible-vault: set ANSIBLE_VAULT_PASSWORD_FILE "
            "to the file with its password."
        )
    return run.stdout
