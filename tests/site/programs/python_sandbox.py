"""What the process of a Python model sees: asks for one, sends it no model, and looks in from outside."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

question = json.loads(sys.argv[1])
connection = socket.socket(socket.AF_UNIX)
connection.connect(question["socket"])

deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    # systemd names the instance after the process that asked.
    names = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", f"millrace-python@*-{os.getpid()}-*"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    if names:
        shown = ["systemctl", "show", "--value", "-p", "MainPID", names[0]]
        process = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()
        if process != "0":
            break
    time.sleep(0.1)
root = Path(f"/proc/{process}/root")
# Its file system is in place when the program runs.
while time.monotonic() < deadline and "warden" not in Path(f"/proc/{process}/cmdline").read_text():
    time.sleep(0.1)
sockets = [str(path) for path in (root / "run").rglob("*") if path.is_socket()]
temporary = [os.statvfs(root / place) for place in ("tmp", "var/tmp")]
print(
    json.dumps(
        {
            "sockets": [path.removeprefix(str(root)) for path in sockets],
            "temporary_bytes": [place.f_blocks * place.f_frsize for place in temporary],
        }
    )
)
