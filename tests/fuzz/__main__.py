"""`python -m tests.fuzz [--requests N] [--seed S] [--only NUMBER]`: exit code 1 when there is a finding."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.models import write_models
from tests.fuzz.run import fuzz, one
from tests.unit.serving.served import Serving


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one request of the run with this seed, again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Serving(write_models(Path(folder))) as server:
        port, pid = int(server.url.rpartition(":")[2]), server.process.pid
        if arguments.only is None:
            report = fuzz(port, pid, arguments.requests, arguments.seed, lambda line: print(line, flush=True))
        else:
            report = one(port, arguments.seed, arguments.only)
        print(*report.lines(), *report.findings, sep="\n")
        return 1 if report.findings else 0


sys.exit(main())
