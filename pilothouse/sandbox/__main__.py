"""`python -m pilothouse.sandbox`: start the sandbox and serve until it is told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from pilothouse.kernel.errors import PilothouseError
from pilothouse.sandbox.server import Options, run


def main() -> int:
    """Run the command line; the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = _parsed()
    try:
        run(options)
    except PilothouseError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def _parsed() -> Options:
    parser = argparse.ArgumentParser(prog="python -m pilothouse.sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the company, its credentials and certificates")
    parser.add_argument("--seed", type=int, default=1, help="which company (default %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="its size, 0.01 to 100 (default %(default)s)")
    parser.add_argument("--pace", type=float, default=20.0, help="seconds between two beats of its clock; 0: none (default %(default)s)")
    parser.add_argument("--sap-port", type=int, default=0, help="0: any free one (default)")
    parser.add_argument("--salesforce-port", type=int, default=0, help="0: any free one (default)")
    parser.add_argument("--admin-port", type=int, default=0, help="0: any free one (default)")
    parser.add_argument(
        "--warehouse-url",
        default=os.environ.get("WAREHOUSE_URL", ""),  # a command line shows its password to every user of the machine
        help="PostgreSQL that takes the schema `warehouse` (default: $WAREHOUSE_URL; none: no warehouse)",
    )
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
