"""`python -m benchmarks faults|throttle|prefetch|memory|emulator|reconcile [--json] [--scale FRACTION]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging

from . import emulator, faults, reading, reconcile, throttle
from .table import Row, show

BENCHMARKS = {
    "faults": faults.run,
    "throttle": throttle.run,
    "prefetch": reading.run_prefetch,
    "memory": reading.run_memory,
    "emulator": emulator.run,
    "reconcile": reconcile.run,
}


def main() -> None:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the server counted.")
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the full size, for a quick look")
    arguments = parser.parse_args()
    logging.getLogger("aiolosant").setLevel(logging.ERROR)
    rows: list[Row] = asyncio.run(BENCHMARKS[arguments.name](arguments.scale))
    print(json.dumps(rows, indent=2) if arguments.json else show(rows))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
