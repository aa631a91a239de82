"""`python -m millrace.artifacts fetch|check|lock [NAME...]`: the store by hand, and locks made again."""

import argparse
import functools
import signal
import sys

from . import ArtifactError, check, fetch, load_bom
from .relock import relock


def main() -> int:
    """Returns the exit status: 0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="millrace.artifacts", description=__doc__)
    parser.add_argument("verb", choices=["fetch", "check", "lock"])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="component, or for lock a file of requirements/"
    )
    parser.add_argument("--upgrade", action="store_true", help="lock: take newer versions")
    arguments = parser.parse_args()
    try:
        if arguments.verb == "lock":
            for path in relock(load_bom(), arguments.names, upgrade=arguments.upgrade):
                print(path)
        elif arguments.verb == "fetch":
            fetch(arguments.names or None, report=functools.partial(print, flush=True))
        else:
            check(arguments.names or None)
    except ArtifactError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


# So that the clients it has started end with it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
sys.exit(main())
