"""What a page has to leave as it found it: services, configuration, files, deployments, models, metrics.

Each aspect is a set of lines; a page may declare in `leaves:` that one of them differs afterwards.
"""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from millrace.cli.gateway import Gateway
from millrace.cli.services import SERVICES
from millrace.problem import Problem
from millrace.site import Host, Site

State = dict[str, set[str]]
HOST_ASPECTS = ("services", "configuration", "firewall", "files")
ASPECTS = (*HOST_ASPECTS, "deployments", "registry", "targets")
CONFIGURATION = (
    "/etc/millrace /etc/haproxy /etc/bind /etc/prometheus /etc/postgresql /etc/resolv.conf /etc/hosts"
)
# A restarted service needs some time until it is what it was.
PATIENCE = 60.0


def take(directory: Path) -> State:
    """The state of the site whose state directory this is. Raises Problem when it cannot be seen."""
    site = Site.read(directory)
    with ThreadPoolExecutor() as pool:
        gateway = pool.submit(_asked, site)
        hosts = list(pool.map(lambda host: _host(site, host), site.hosts))
    state: State = {aspect: set().union(*(host[aspect] for host in hosts)) for aspect in HOST_ASPECTS}
    return state | gateway.result()


def changes(before: State, directory: Path, allowed: dict[str, str]) -> list[str]:
    """What is other than before, once services had time to come back; empty when nothing is."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            after = take(directory)
            found = [
                f"{aspect}: {sign} {line}"
                for aspect in ASPECTS
                if aspect not in allowed
                for sign, lines in (
                    ("-", before[aspect] - after[aspect]),
                    ("+", after[aspect] - before[aspect]),
                )
                for line in sorted(lines)
            ]
        except Problem as problem:
            found = [str(problem)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(1)


def _host(site: Site, host: Host) -> State:
    units = " ".join(f"'{service.unit}'" for service in SERVICES if service.name != "sshd")
    script = (
        f"systemctl list-units --all --plain --no-legend --no-pager {units} nftables.service"
        " | awk '{print $1, $3, $4}'; echo; "
        f"find {CONFIGURATION} -type f -exec sha256sum {{}} + 2>/dev/null | sort; echo; "
        "nft list table inet millrace | sed 's/packets [0-9]* bytes [0-9]*//'; echo; "
        "ls -Ad /root/* /home/* /opt/millrace/* 2>/dev/null"
    )
    words = site.ssh(host, script)
    words[1:1] = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    run = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    parts = run.stdout.split("\n\n")
    if len(parts) != len(HOST_ASPECTS):
        raise Problem(f"{host.name} does not say how it is: {run.stderr.strip()}")
    return {
        aspect: {f"{host.name} {line}" for line in part.splitlines() if line}
        for aspect, part in zip(HOST_ASPECTS, parts, strict=True)
    }


def _asked(site: Site) -> State:
    gateway = Gateway(site)
    answer = gateway.json("/deployments") or []
    records = answer.get("deployments", []) if isinstance(answer, dict) else answer
    query = {"max_results": "1000"}
    versions = gateway.json("/api/2.0/mlflow/model-versions/search", query=query) or {}
    return {
        # What Prometheus has asked since: a page that follows may show that all is well.
        "targets": {f"{labels['instance']} {value:g}" for labels, value in gateway.metrics("up")},
        "deployments": {f"{r['model']}:{r['version']} {r['digest']}" for r in records},
        "registry": {f"{v['name']}:{v['version']}" for v in versions.get("model_versions", [])},
    }
