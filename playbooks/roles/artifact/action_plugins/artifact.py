"""Brings an artifact to the host once, and only when the host does not hold it.

``copy`` would hash the tar on both sides and write it twice: 5.5 s for 550 MB where this takes 2.2.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Asks the module of the same name whether the artifact is missing; if so transfers it and asks again."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result; ``path`` of the task is a file of the control machine."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        source = args.pop("path")
        result = self._execute_module(module_name="artifact", module_args=args, task_vars=task_vars)
        if result.get("failed") or not result["changed"] or self._task.check_mode:
            return result
        shell = self._connection._shell
        tar = shell.join_path(shell.tmpdir, "artifact.tar")
        self._transfer_file(source, tar)
        self._fixup_perms2((shell.tmpdir, tar), execute=False)
        return self._execute_module(
            module_name="artifact", module_args={**args, "tar": tar}, task_vars=task_vars
        )
