"""`python -m millrace.serving --config FILE --replica N`: one prediction server process."""

import argparse
import logging
import sys
from pathlib import Path

from millrace.serving import server
from millrace.serving.config import InvalidConfig, ServingConfig, load, require_tls_beyond_loopback


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="millrace.serving", description="One process of the prediction server."
    )
    parser.add_argument("--config", type=Path, required=True, help="prediction.toml")
    parser.add_argument("--replica", type=int, default=1, help="its number on this host, from 1")
    parser.add_argument("--check", action="store_true", help="only read the configuration")
    arguments = parser.parse_args()
    # The journal has the time already.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        config = load(arguments.config, ServingConfig)
        require_tls_beyond_loopback(config.address, config.tls, config.socket_dir)
        if not arguments.check:
            server.run(config, arguments.replica)
    except InvalidConfig as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
