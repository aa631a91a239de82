"""uv, with the settings that this machine's owner has made for pip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def program() -> Path:
    """The uv of this Python environment."""
    return Path(sys.executable).parent / "uv"


def environment() -> dict[str, str]:
    """uv does not read pip's settings: who has set a mirror or a CA for pip has set it for uv as well."""
    env = dict(os.environ)
    for variable, setting in (("UV_DEFAULT_INDEX", "index-url"), ("SSL_CERT_FILE", "cert")):
        value = (
            env.get(variable) or env.get(f"PIP_{setting.upper().replace('-', '_')}") or _pip_setting(setting)
        )
        if value:
            env[variable] = value
    if BUNDLE.exists():
        env.setdefault("SSL_CERT_FILE", str(BUNDLE))
    return env


def _pip_setting(name: str) -> str:
    words = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else ""
