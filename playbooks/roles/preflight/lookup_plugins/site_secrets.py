"""The site's secrets, generated where they are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.lookup import LookupBase

from millrace.preflight import secrets
from millrace.problem import Problem

DOCUMENTATION = r"""
name: site_secrets
short_description: The site's secrets, generated where they are missing
description: Reads the secrets file, encrypted by ansible-vault or not, and adds the secrets that it lacks.
author: [Millrace]
options:
  _terms:
    description: Path of the secrets file.
    required: true
  users:
    description: Users of the site; each without C(password_hash) gets a secret.
    type: list
    elements: dict
    default: []
  write:
    description: Keep what was generated. When false (check mode) the new values live as long as the run.
    type: bool
    default: true
"""


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, str]]:
        self.set_options(var_options=variables, direct=kwargs)
        path = Path(terms[0])
        wanted = secrets.names(self.get_option("users"))
        found = read(self._loader, path) if path.exists() else {}
        values, added = secrets.complete(found, wanted)
        if added and path.exists() and encrypted(path):
            raise AnsibleError(
                f"The encrypted secrets file {path} lacks {', '.join(added)}: run "
                f"`ansible-vault decrypt {path}`, converge once, which adds what is missing, "
                f"and run `ansible-vault encrypt {path}` again."
            )
        if added and self.get_option("write"):
            try:
                secrets.dump(values, path)
            except Problem as error:
                raise AnsibleError(str(error)) from error
        return [values]


def read(loader: DataLoader, path: Path) -> dict[str, str]:
    content = loader.load_from_file(str(path), cache="none") or {}
    if not isinstance(content, dict):
        raise AnsibleError(f"The secrets file {path} maps no names to values: restore it from a copy.")
    return {str(name): str(value) for name, value in content.items()}


def encrypted(path: Path) -> bool:
    return path.read_bytes().startswith(b"$ANSIBLE_VAULT")
