"""Groups that must be there once, the faults that they are created under, and what is there in the end."""

import asyncio
from collections import Counter
from collections.abc import Iterator

from aiolosant import (
    NewExperienceGroup,
    RetryPolicy,
)
from aiolosant.emulator import Emulator, Fault

from .conftest import client_of

QUICK = RetryPolicy(first_delay=0.01, max_delay=0.05, settle_time=0.05)
FAULTS: dict[Fault, float] = {fault: 0.25 / 8 for fault in Fault if fault is not Fault.SILENCE}


def tenants(count: int) -> Iterator[NewExperienceGroup]:
    return (NewExperienceGroup(f"Tenant {n}", group_tags={"externalId": str(n)}) for n in range(count))


async def there(emulator: Emulator) -> Counter[str]:
    """How often each name is on the server, once late writes have landed."""
    emulator.inject_random({})
    while emulator.late_writes:
        await asyncio.sleep(0.001)
    async with client_of(emulator) as observer:
        return Counter([group.name async for group in observer.experience_groups.list(per_page=1000)])
