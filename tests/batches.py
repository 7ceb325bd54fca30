"""Groups to create, and what the server has seen of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from aiolosant import (
    NewExperienceGroup,
)
from aiolosant.emulator import Emulator


def named(count: int) -> Iterator[NewExperienceGroup]:
    return (NewExperienceGroup(f"Tenant {n}") for n in range(count))


async def asynchronously(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


def posts(emulator: Emulator) -> int:
    return sum(request.method == "POST" for request in emulator.requests)
