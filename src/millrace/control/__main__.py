"""`python -m millrace.control --config FILE`: the control service."""

import argparse
import logging
import sys
from pathlib import Path

from millrace.control import server
from millrace.control.config import ControlConfig
from millrace.serving.config import InvalidConfig, load


def main() -> None:
    parser = argparse.ArgumentParser(prog="millrace.control", description="The writer of deployment records.")
    parser.add_argument("--config", type=Path, required=True, help="control.toml")
    arguments = parser.parse_args()
    # The journal has the time already.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        server.run(load(arguments.config, ControlConfig))
    except InvalidConfig as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
