"""Every night the customers of another system become groups: new ones are made, changed ones updated, none deleted.

LOSANT_API_TOKEN=... LOSANT_APPLICATION_ID=... python examples/nightly_sync.py customers.json [MOST]

A night changes 20 % of the groups at most, since a broken export must not touch everything.
The first night needs MOST, a number.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aiolosant import LosantClient, PlanError, by_tag, reconcile


def as_record(customer: dict[str, Any]) -> dict[str, Any]:
    """Return a customer of the other system as a group should be."""
    return {
        "name": customer["company"],
        "description": customer.get("city", ""),
        "groupTags": {"customerId": str(customer["id"])},
    }


async def sync(customers: list[dict[str, Any]], most_changes: int | str = "20%") -> int:
    """Make it so; return how many changes did not go well."""
    async with LosantClient.from_env() as losant:
        groups = losant.experience_groups
        plan = await reconcile.plan(groups, map(as_record, customers), match_by=by_tag("customerId"))
        plan.check(max_changes=most_changes)
        failed = 0
        async for outcome in reconcile.apply(groups, plan, concurrency=16):
            if not outcome.ok:
                failed += 1
                print(outcome.status, outcome.change, outcome.error, file=sys.stderr)
        print(plan.summary())
        return failed


if __name__ == "__main__":
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        sys.exit(min(1, asyncio.run(sync(wanted, *map(int, sys.argv[2:])))))
    except PlanError as error:
        sys.exit(f"nothing was written: {error}")
