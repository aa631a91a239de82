"""What a prediction costs here, and the ways people usually do it, in one run on one machine.

    python -m tests.bench.serving [--rounds N] [--seconds S] [--write docs/explanation/speed.md]

Needs apache2-bin, nginx-light, haproxy and wrk (apt), and Java for the first run, which trains the flights.
All servers stand at once; in each round each is asked in turn, and the medians over the rounds are printed as
Markdown. CPU is that of all processes of a server, the gateway's included, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.bench.serving import footprint, load, models, report, steady
from tests.bench.serving.cases import FOREST, Case, cases, iris
from tests.bench.serving.stack import Stack, standing

HELD = 1000
_HELD_S = 20.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def constant(url: str, case: Case) -> bytes:
    """What a server says to a case."""
    request = urllib.request.Request(url + case.ask.path, case.ask.body, dict(case.ask.headers))
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        content: bytes = answer.read()
    return content


def once(stack: Stack, case: Case, lua: Path, seconds: int, tries: int = 2) -> tuple[float, float]:
    """CPU us a request, and requests a second. Raises Lost, but for the last of `tries` only.

    The second before does not count: caches are cold, and the gateway has not seen yet how many come.
    """
    servers = [stack.servers[name] for name in case.counted]
    try:
        load.run(stack.urls[case.at] + case.ask.path, lua, 1)
        before = sum(server.cpu_seconds() for server in servers)
        answered = load.run(stack.urls[case.at] + case.ask.path, lua, seconds)
    except load.Lost as lost:
        # The baseline's gunicorn now and then closes a connection that apache2 has a request on: a 502.
        if tries == 1:
            raise
        say(f"once more: {case.title}: {lost}")
        return once(stack, case, lua, seconds, tries - 1)
    spent = sum(server.cpu_seconds() for server in servers) - before
    return spent / answered.requests * 1e6, answered.requests / answered.seconds


def compare(
    stack: Stack, chosen: Sequence[Case], rounds: int, seconds: int
) -> dict[str, list[tuple[float, float]]]:
    """CPU and rate of each case in each round."""
    figures: dict[str, list[tuple[float, float]]] = {case.title: [] for case in chosen}
    scripts = {
        case.title: load.script(case.ask, stack.scratch / f"{number}.lua")
        for number, case in enumerate(chosen)
    }
    for number in range(rounds):
        # Whoever follows a heavy one shall not always be the same.
        for case in random.sample(chosen, len(chosen)):
            cpu, rate = once(stack, case, scripts[case.title], seconds)
            figures[case.title].append((cpu, rate))
            say(f"round {number + 1}: {case.title}: {cpu:.1f} us, {rate:,.0f}/s")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of each case in a round")
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="cases whose title has them, and those to compare with"
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the figures into a page, too")
    options = parser.parse_args()

    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder, standing(Path(folder)) as stack:
        bundles = stack.scratch / "models"
        say("making the models")
        models.make(bundles)
        chosen = [
            case
            for number, case in enumerate(cases(bundles))
            if number < 2 or case.title == FOREST or options.only in case.title
        ]
        say("starting the servers")
        stack.baseline()
        stack.mlserver()
        stack.alone(bundles)
        stack.nginx(constant(stack.urls["alone"], chosen[0]))
        stack.gateway(bundles)
        time.sleep(2)
        figures = compare(stack, chosen, options.rounds, options.seconds)
        waits, failed = {}, {}
        for title, at in (
            ("Millrace through the gateway, TLS to the client", "tls"),
            ("the same with TLS to servers of other hosts", "site"),
        ):
            waits[title], failed[title] = steady.hold(stack.urls[at], iris("tree"), HELD, _HELD_S)
        stack.stop()
        sizes = [footprint.measure(bundles / "tree", stack.scratch, count) for count in (10, 1000)]
    text = "\n\n".join(
        [
            f"Measured on {report.machine()}; medians of {options.rounds} rounds of {options.seconds} s. "
            f"Load of the machine before: {load_before:.1f}.",
            report.requests(chosen, figures),
            report.held(HELD, waits, failed),
            report.footprints(sizes),
        ]
    )
    print(text)
    if options.write:
        report.write(options.write, text)


if __name__ == "__main__":
    main()
