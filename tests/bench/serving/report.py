"""The figures as Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from tests.bench.serving.cases import FOREST, Case
from tests.bench.serving.footprint import Footprint
from tests.bench.serving.stack import program

BEGIN, END = "<!-- figures: written by tests.bench.serving -->", "<!-- end of the figures -->"


def machine() -> str:
    """Processor, cores, memory, and the versions of what was compared."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    words = [f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB", f"Linux {platform.release().split('-')[0]}"]
    words += [f"Python {platform.python_version()}", _haproxy(), f"{datetime.now(UTC):%Y-%m-%d}"]
    return "; ".join(words)


def _haproxy() -> str:
    words = [program("haproxy", "haproxy"), "-v"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return "HAProxy " + text.split()[2].split("-")[0]


def requests(cases: Sequence[Case], figures: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """A line for each case: medians of CPU (us) a request and of requests a second, and their ratios.

    `figures` holds pairs of these by title. Forests are compared with the baseline's forest.
    """
    cpu = {title: median(c for c, _ in rounds) for title, rounds in figures.items()}
    rate = {title: median(r for _, r in rounds) for title, rounds in figures.items()}
    flask, nginx = cases[0].title, cases[1].title
    lines = ["| | CPU, us a request | of rounds | requests/s | of the baseline's CPU | times nginx |"]
    lines.append("|---|---|---|---|---|---|")
    for case in cases:
        name, of = case.title, FOREST if case.title.startswith("forest") else flask
        spread = [c for c, _ in figures[name]]
        ratio = cpu[of] / cpu[name]
        part = f"1/{ratio:.1f}" if ratio > 1 else f"{1 / ratio:.2f}"
        if case.ask.rows > 1:
            part = f"{cpu[name] / case.ask.rows:.2f} us a row"
        lines.append(
            f"| {name} | {cpu[name]:.1f} | {min(spread):.1f} to {max(spread):.1f} | {rate[name]:,.0f} | "
            f"{part} | {cpu[name] / cpu[nginx]:.1f} |"
        )
    return "\n".join(lines)


def held(rate: int, waits: Mapping[str, Sequence[float]], failed: Mapping[str, int]) -> str:
    """A line for each way: what requests waited when so many came a second."""
    lines = [
        f"| {rate:,} requests/s held | answered | p50, ms | p99, ms | p99.9, ms |",
        "|---|---|---|---|---|",
    ]
    for name, each in waits.items():
        cuts = quantiles(each, n=1000)
        share = 100 * (1 - failed[name] / (len(each) + failed[name]))
        p50, p99, p999 = (cuts[at] * 1e3 for at in (499, 989, 998))
        lines.append(f"| {name} | {share:.2f} % | {p50:.2f} | {p99:.2f} | {p999:.2f} |")
    return "\n".join(lines)


def footprints(each: Sequence[Footprint]) -> str:
    """A line for each number of models."""
    lines = [
        "| small models | ready after, s | of CPU, s | resident, MB | after load, MB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {f.models:,} | {f.ready_seconds:.1f} | {f.cpu_seconds:.1f} | {f.ready_mb:.0f} | {f.busy_mb:.0f} |"
        for f in each
    ]
    return "\n".join(lines)


def write(page: Path, text: str) -> None:
    """Put the figures in their place in a page. Raises SystemExit when it has none."""
    before, begun, rest = page.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise SystemExit(f"{page} has no place for the figures: {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
