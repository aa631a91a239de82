"""`millrace status`: hosts, services and models of a site in one screen."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer

from millrace.cli.app import DEMO, Inventory, SiteName, app, examples
from millrace.cli.probe import HostState, command, parse
from millrace.site import Host, Site


@app.command(epilog=examples("millrace status", "millrace status --inventory playbooks/inventories/mine"))
def status(
    site: SiteName = DEMO,
    inventory: Inventory = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only the exit code: 0 when all is well.")
    ] = False,
) -> None:
    """Show hosts, services and models of a site; exit code 1 when something is down."""
    from millrace.cli.screen import console_for
    from millrace.cli.tables import hosts_table, models_table, services_table
    from millrace.site import find

    there = find(site, inventory)
    with ThreadPoolExecutor(max_workers=16) as pool:
        asked = pool.submit(gateway_says, there)
        states = dict(
            zip((h.name for h in there.hosts), pool.map(lambda h: look(there, h), there.hosts), strict=True)
        )
        trouble, targets, models = asked.result()
    services, well = services_table(there, states, targets)
    if not quiet:
        console = console_for(sys.stdout)
        console.print(f"{there.name}  {there.url}  {trouble or 'answers'}", style="red" if trouble else None)
        console.print(hosts_table(there, states))
        console.print(services)
        console.print(models_table(models))
    if trouble or not well:
        raise typer.Exit(1)


def look(site: Site, host: Host) -> HostState | None:
    """What a host says of itself and its units, None when it is out of reach."""
    words = site.ssh(host, command())
    words[1:1] = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    try:
        run = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return None
    return parse(run.stdout) if run.returncode == 0 else None


def gateway_says(site: Site) -> tuple[str | None, list[tuple[dict[str, str], float]], list[dict[str, Any]]]:
    """What is wrong as the gateway sees it, Prometheus' targets with 1 for up, and the models."""
    from millrace.cli.gateway import Gateway
    from millrace.problem import Problem

    try:
        gateway = Gateway(site)
        targets = gateway.metrics("up")
        counts = {
            (labels.get("model"), labels.get("version")): value
            for labels, value in gateway.metrics(
                "sum by (model, version) (millrace_inference_requests_total)"
            )
        }
        answer = gateway.json("/deployments") or []
        records = answer.get("deployments", []) if isinstance(answer, dict) else answer
        models = [{**r, "requests": counts.get((r["model"], str(r["version"])), 0.0)} for r in records]
    except Problem as problem:
        return str(problem), [], []
    return gateway.trouble(), targets, models
