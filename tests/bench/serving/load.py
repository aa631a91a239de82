"""Load by wrk: as many requests as sixteen connections that are kept open get answered."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CONNECTIONS = 16
_TOTAL = re.compile(r"(\d+) requests in ([\d.]+)(m?s|m),")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Ask:
    """A prediction as it is sent."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    rows: int = 1


@dataclass(frozen=True)
class Answered:
    """What came of a run."""

    requests: int
    seconds: float


def script(ask: Ask, place: Path) -> Path:
    """The Lua file that makes wrk send this; `place` is the file to write, the body goes beside it."""
    body = place.with_suffix(".body")
    body.write_bytes(ask.body)
    lines = ['wrk.method = "POST"', f'wrk.body = io.open("{body}", "rb"):read("*a")']
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in ask.headers.items()]
    place.write_text("\n".join(lines) + "\n")
    return place


class Lost(Exception):
    """A request had no answer, or another one than 200."""


def run(url: str, lua: Path, seconds: int) -> Answered:
    """Keep the server busy for so long. Raises Lost."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed: apt install wrk")
    words = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(lua), url]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    total = _TOTAL.search(text)
    if total is None or "Non-2xx" in text or "Socket errors" in text:
        raise Lost(f"wrk on {url}:\n{text}")
    return Answered(int(total[1]), float(total[2]) * _SECONDS[total[3]])
