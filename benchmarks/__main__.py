"""`python -m benchmarks [NAME] [--json] [--scale FRACTION] [--latency SECONDS]`; without a name, our peers."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from . import emulator, faults, peers, reading, reconcile, throttle
from .table import Row, show

BENCHMARKS: dict[str, Callable[..., Coroutine[Any, Any, list[Row]]]] = {
    "peers": peers.run,
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
    parser.add_argument("name", choices=BENCHMARKS, nargs="?", default="peers")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes, of peers alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the full size, for a quick look")
    arguments = parser.parse_args()
    logging.getLogger("aiolosant").setLevel(logging.ERROR)
    options = {"latency": arguments.latency} if arguments.latency else {}
    rows: list[Row] = asyncio.run(BENCHMARKS[arguments.name](arguments.scale, **options))
    print(json.dumps(rows, indent=2) if arguments.json else show(rows))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
