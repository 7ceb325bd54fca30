"""Makes the groups what a file says, and takes it back: python examples/migration.py customers.csv [--undo].

It reads LOSANT_API_TOKEN and LOSANT_APPLICATION_ID. Columns: name, groupTags.key, and what else groups have.
"""

import asyncio
import sys

from aiolosant import LosantClient, PlanError, by_tag, reconcile
from aiolosant.reconcile import Plan

RESULTS = "migration-results"  # what was there before each write; ids.json has the new ids


async def apply(losant: LosantClient, plan: Plan, journal: str) -> bool:
    print(plan.summary())
    well = True
    async for outcome in reconcile.apply(losant.experience_groups, plan, journal=journal):
        if not outcome.ok:
            well = False
            print(f"{outcome.status}: {outcome.change}: {outcome.error}")
    return well


async def migrate(losant: LosantClient, file: str) -> bool:
    records = reconcile.read_records(file)
    plan = await reconcile.plan(losant.experience_groups, records, match_by=by_tag("key"))
    plan.check(max_changes=5000)  # more is a mistake
    for warning in plan.warnings:
        print(f"warning: {warning}")
    return await apply(losant, plan, RESULTS)  # killed, it goes on when it is started again


async def undo(losant: LosantClient) -> bool:
    plan = await reconcile.undo(losant.experience_groups, RESULTS)
    return await apply(losant, plan, f"{RESULTS}-undo")


async def main(file: str, *options: str) -> int:
    async with LosantClient.from_env() as losant:
        try:
            well = await (undo(losant) if "--undo" in options else migrate(losant, file))
        except PlanError as error:  # nothing was written
            print("\n".join(error.problems))
            return 2
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
