"""`python -m millrace.artifacts fetch|check|lock [NAME...]`: the store by hand, and locks made again."""

import argparse
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
            fetch(arguments.names or None)
        else:
            check(arguments.names or None)
    except ArtifactError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


sys.exit(main())
