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
    parser.add_argument("--check", action="store_true", help="only read the configuration")
    arguments = parser.parse_args()
    # The journal has the time already.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        config = load(arguments.config, ControlConfig)
        config.require_callers_to_prove_themselves()
        if not arguments.check:
            server.run(config)
    except InvalidConfig as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
