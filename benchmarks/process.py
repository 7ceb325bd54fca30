"""An emulator in a process of its own, so that the client alone is measured."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from aiolosant.emulator import Emulator


@contextmanager
def spawned(target: Callable[..., None], *arguments: object) -> Iterator[Any]:
    """Run `target(pipe, *arguments)` in a process of its own; gives what it sends, and ends it."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    there.close()  # so that it is noticed if the other end goes
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


@contextmanager
def served(count: int, *, latency: float = 0.0) -> Iterator[dict[str, Any]]:
    """Serve `count` groups of half a kilobyte, each answer `latency` seconds late; gives a client's arguments."""
    print(f"seeding {count:,} ...", file=sys.stderr)  # noqa: T201 - progress
    with spawned(_serve, count, latency) as options:
        yield options


def _serve(pipe: Connection, count: int, latency: float) -> None:
    async def serve() -> None:
        async with Emulator() as emulator:
            emulator.latency = latency
            emulator.create_groups(
                {"name": f"Tenant {n:06}", "description": "x" * 300, "groupTags": {"externalId": str(n)}}
                for n in range(count)
            )
            pipe.send({"token": emulator.token, "application_id": emulator.application_id, "base_url": emulator.url})
            await asyncio.get_running_loop().create_future()

    asyncio.run(serve())
