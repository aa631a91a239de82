"""Puts files in place, each whole, valid, and only when it differs."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: config_files
short_description: Renders and places the configuration files of a service in one go
description:
  - Every file is checked by its validator before it replaces the old one; one refused, none is replaced.
  - Directories that are missing are made.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      dest: {description: Path on the host., type: path, required: true}
      src: {description: Template of the role., type: str}
      copy: {description: File of the control machine., type: str}
      content: {description: Text of the file., type: str}
      vars: {description: Variables for the template C(src)., type: dict}
      owner: {description: Owner., type: str, default: root}
      group: {description: Group., type: str, default: root}
      mode: {description: Mode., type: str, default: "0644"}
      validate: {description: Command that must succeed; C(%s) is the new file., type: str}
author: [Millrace]
"""
RETURN = r"""
written: {description: Paths that were written or changed., type: list, elements: str, returned: always}
"""

FILE = {
    "dest": {"type": "path", "required": True},
    "content": {"type": "str", "required": True, "no_log": False},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str"},
}


def current(path: Path) -> str | None:
    """Text of a regular file, None when there is none."""
    try:
        if stat.S_ISREG(path.lstat().st_mode):
            return path.read_text(errors="replace")
    except FileNotFoundError:
        pass
    return None


def prepare(module: AnsibleModule, file: dict[str, Any]) -> Path:
    """The new content beside its place, checked; fails the module when it is refused."""
    place = Path(file["dest"])
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    module.add_cleanup_file(name)
    with os.fdopen(handle, "w") as half:
        half.write(file["content"])
    if file["validate"]:
        code, out, error = module.run_command(file["validate"].replace("%s", name))
        if code:
            said = (error.strip() or out.strip()).replace(name, str(place))
            module.fail_json(msg=f"{place} is not valid, the old one stays: {said}")
    return Path(name)


def attributes(module: AnsibleModule, file: dict[str, Any], path: str) -> bool:
    """Set owner, group and mode; whether they were others."""
    wanted = {"path": path, **{name: file[name] for name in ("owner", "group", "mode")}}
    return module.set_fs_attributes_if_different(module.load_file_common_arguments(wanted), False)


def main() -> None:
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": FILE}},
        supports_check_mode=True,
    )
    written, diffs, waiting = [], [], []
    for file in module.params["files"]:
        before = current(Path(file["dest"]))
        if before != file["content"]:
            written.append(file["dest"])
            diffs.append(
                {"before_header": file["dest"], "after_header": file["dest"],
                 "before": before or "", "after": file["content"]}
            )  # fmt: skip
            if not module.check_mode:
                waiting.append((prepare(module, file), file))
        elif attributes(module, file, file["dest"]):
            written.append(file["dest"])
    for half, file in waiting:
        attributes(module, file, str(half))
        half.replace(file["dest"])
    module.exit_json(changed=bool(written), written=written, diff=diffs)


if __name__ == "__main__":
    main()
