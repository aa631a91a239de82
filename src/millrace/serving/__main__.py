"""`python -m millrace.serving --config FILE --replica N`: one prediction server process."""

import argparse
import logging
import sys
from pathlib import Path

from millrace.serving import server
from millrace.serving.config import InvalidConfig, ServingConfig, load


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="millrace.serving", description="One process of the prediction server."
    )
    parser.add_argument("--config", type=Path, required=True, help="prediction.toml")
    parser.add_argument("--replica", type=int, default=1, help="its number on this host, from 1")
    arguments = parser.parse_args()
    # The journal has the time already.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        server.run(load(arguments.config, ServingConfig), arguments.replica)
    except InvalidConfig as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
