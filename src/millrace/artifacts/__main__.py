"""`python -m millrace.artifacts fetch|check [COMPONENT...]`, as `millrace fetch` does it."""

import argparse
import sys

from . import ArtifactError, check, fetch


def main() -> int:
    """Returns the exit status: 0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="millrace.artifacts", description=__doc__)
    parser.add_argument("verb", choices=["fetch", "check"])
    parser.add_argument("components", nargs="*", metavar="COMPONENT")
    arguments = parser.parse_args()
    try:
        (fetch if arguments.verb == "fetch" else check)(arguments.components or None)
    except ArtifactError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


sys.exit(main())
