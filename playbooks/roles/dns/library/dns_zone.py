"""A zone file whose serial number grows when, and only when, its records change."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: dns_zone
short_description: Writes a zone file, with a new serial number when its records changed
options:
  name:
    description: Name of the zone.
    type: str
    required: true
  path:
    description: The zone file.
    type: path
    required: true
  content:
    description: The file with the word C(SERIAL) where the serial number belongs.
    type: str
    required: true
author: [Millrace]
"""

PLACE = "SERIAL"
SOA = re.compile(r"(\bSOA\b[^()]*\(\s*)(\d+)")


def split(text: str) -> tuple[str, int]:
    """A zone file as (text with the serial's place, serial); serial 0 when it has none."""
    found = SOA.search(text)
    if not found:
        return text, 0
    return SOA.sub(rf"\g<1>{PLACE}", text, count=1), int(found.group(2))


def following(serial: int, now: int) -> int:
    """The time in seconds, or one more than before when the clock has not got that far."""
    return max(serial + 1, now)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    path, wanted = Path(module.params["path"]), module.params["content"]
    before = path.read_text() if path.exists() else ""
    records, serial = split(before)
    if records == wanted:
        module.exit_json(changed=False, serial=serial)
    serial = following(serial, int(time.time()))
    after = wanted.replace(PLACE, str(serial), 1)
    diff = {"before_header": str(path), "after_header": str(path), "before": before, "after": after}
    if module.check_mode:
        module.exit_json(changed=True, serial=serial, diff=diff)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(after)
    half = Path(file.name)
    check = ["named-checkzone", "-i", "local", module.params["name"], str(half)]
    code, out, error = module.run_command(check)
    if code:
        half.unlink()
        module.fail_json(msg=f"The zone {module.params['name']} is not valid: {(out + error).strip()}")
    half.chmod(0o644)
    shutil.chown(half, "root", "bind")
    half.replace(path)
    module.exit_json(changed=True, serial=serial, diff=diff)


if __name__ == "__main__":
    main()
