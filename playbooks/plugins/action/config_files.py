"""Renders the configuration files of a service and lets one module put them in place.

A `template` task asks the host twice, even when nothing changes; a service with four files asked eight times.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader


class ActionModule(ActionBase):
    """Turns `src` (a template of the role) and `copy` (a file of the control machine) into content."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module `config_files` says: changed, and the paths it has written."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        args = dict(self._task.args)
        files = [self._content(dict(file), variables) for file in args.pop("files")]
        return self._execute_module(
            module_name="config_files", module_args={**args, "files": files}, task_vars=variables
        )

    def _content(self, file: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        sources = [kind for kind in ("src", "copy", "content") if kind in file]
        if len(sources) != 1 or "dest" not in file:
            raise AnsibleActionFail(f"A file needs `dest` and one of src, copy, content: {sorted(file)}.")
        if sources == ["src"]:
            lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
            extra = file.pop("vars", {})
            (file["content"],) = lookup.run([file.pop("src")], variables=variables, template_vars=extra)
        elif sources == ["copy"]:
            with open(self._loader.get_real_file(self._find_needle("files", file.pop("copy")))) as source:  # noqa: PTH123
                file["content"] = source.read()
        return file
