"""`python -m benchmarks [NAME] [--json] [--scale FRACTION] [--latency SECONDS]`; no name: the first two."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from . import comparison, contested, emulator, faults, footprint, networks, reading, reconcile, road, throttle, work
from .table import Row, show

BENCHMARKS: dict[str, Callable[..., Coroutine[Any, Any, list[Row]]]] = {
    "comparison": comparison.run,
    "contested": contested.run,
    "footprint": footprint.run,
    "faults": faults.run,
    "throttle": throttle.run,
    "prefetch": reading.run_prefetch,
    "memory": reading.run_memory,
    "scan": reading.run_scan,
    "emulator": emulator.run,
    "networks": networks.run,
    "reconcile": reconcile.run,
    "road": road.run,
    "work": work.run_work,
    "limits": work.run_limits,
}


def main() -> None:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the server counted.")
    parser.add_argument(
        "names", nargs="*", default=["comparison", "footprint"], metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the full size, for a quick look")
    parser.add_argument(
        "--latency", type=float, default=0.0, help="seconds that each answer takes, of comparison alone"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    logging.getLogger("aiolosant").setLevel(logging.ERROR)
    results: dict[str, list[Row]] = {}
    for name in arguments.names:
        options = {"latency": arguments.latency} if name == "comparison" else {}
        results[name] = asyncio.run(BENCHMARKS[name](arguments.scale, **options))
        if not arguments.json:
            print(show(results[name]), flush=True)  # noqa: T201 - what it is for
    if arguments.json:
        print(json.dumps(results, indent=2))  # noqa: T201 - as above


if __name__ == "__main__":
    main()
