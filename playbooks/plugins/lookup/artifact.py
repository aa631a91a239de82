"""Finds artifacts in the artifact store of the control machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: artifact
author: Millrace
short_description: Find an artifact in the artifact store
description:
  - Looks up components of the bill of materials in the store that C(millrace fetch) fills.
  - Fails, naming the fix, when the store does not have what the bill of materials says.
options:
  _terms: {description: Names of components., required: true}
"""

EXAMPLES = r"""
- name: Show where the configuration will point to
  ansible.builtin.debug:
    msg: "{{ lookup('artifact', 'kafka').home }}"
"""

RETURN = r"""
_list:
  description:
    - For each component, its V(component), V(version), V(id), the V(path) of its tar on the control
      machine, the tar's V(sha256), and V(home), the directory on hosts.
  type: list
  elements: dict
"""

# The playbooks work without the package being installed: it is in the same clone.
SOURCE = str(Path(__file__).resolve().parents[3] / "src")
if SOURCE not in sys.path:
    sys.path.append(SOURCE)

from millrace.artifacts.errors import ArtifactError  # noqa: E402
from millrace.artifacts.store import locate  # noqa: E402


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, str]]:
        """One dict for each term."""
        self.set_options(var_options=variables, direct=kwargs)
        return [find(term) for term in terms]


def find(component: str) -> dict[str, str]:
    """A component's artifact as roles want it; AnsibleLookupError names the fix."""
    try:
        artifact = locate(component)
    except ArtifactError as error:
        raise AnsibleLookupError(str(error)) from error
    return {
        "component": artifact.component,
        "version": artifact.version,
        "id": artifact.id,
        "path": str(artifact.path),
        "sha256": artifact.sha256,
        "home": f"/opt/millrace/{artifact.component}/{artifact.id}",
    }
