"""What is asked on a host of the site, with the host's own certificate and its own software."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.site.live import SITE

TLS = SITE.variables["site_tls_dir"]
CA = f"--cacert {TLS}/ca.crt"
CERTIFICATE = f"--cert {TLS}/host.crt --key {TLS}/host.key"
PROGRAMS = Path(__file__).parent / "programs"


def name_of(host: Any) -> str:
    """The host's full name in the zone."""
    return f"{SITE.name(host)}.{SITE.domain}"


def ask(
    host: Any,
    service: str,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: str = "",
    certificate: str = CERTIFICATE,
    at: str = "",
) -> tuple[int, str]:
    """Status and body that a service answers under a host's name (`at` or its own); (0, why) without any."""
    url = f"https://{at or name_of(host)}:{SITE.services[service]['port']}{path}"
    words = [f"curl -sS -m 20 {CA} {certificate} -X {method} -w %s"]
    values = [r"\n%{http_code}", url]
    for name, value in (headers or {}).items():
        words.append("-H %s")
        values.append(f"{name}: {value}")
    if body:
        words.append("--data-binary %s")
        values.append(body)
    run = host.run(" ".join([words[0], "%s", *words[1:]]), *values)
    if run.rc:
        return 0, run.stderr.strip()
    content, _, status = run.stdout.rpartition("\n")
    return int(status), content


def check_demands_certificate(host: Any, *services: str) -> None:
    """Who trusts the site but has no certificate of it gets no further than the handshake."""
    for service in services:
        port = SITE.services[service]["port"]
        question = {"name": name_of(host), "port": port, "ca": f"{TLS}/ca.crt"}
        # Not by curl: it has sent its request before it reads the refusal, and loses that to a reset.
        received = run_program(host, "handshake.py", question)
        # asyncio's servers close without saying that a certificate is required.
        refused = "certificate required" in received.replace("_", " ").lower() or received == "closed"
        assert refused, f"{service}: {received}"


def run_program(host: Any, program: str, question: dict[str, Any], component: str = "") -> Any:
    """What a file of programs/ prints (JSON), under the Python of an installed component or of the system.

    AssertionError when it fails or takes more than two minutes.
    """
    python = f"/opt/millrace/{component}/current/bin/python" if component else SITE.variables["site_python"]
    run = host.run(f"timeout 120 {python} -c %s %s", (PROGRAMS / program).read_text(), json.dumps(question))
    assert run.rc != 124, f"{program} has no answer after two minutes"
    assert run.rc == 0, f"{program}: {run.stderr.strip()[-2000:]}"
    return json.loads(run.stdout.splitlines()[-1])
