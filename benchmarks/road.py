"""The road of a group through the package: how many functions it passes, and how often it changes module and wing.

What is counted is what a reader has to follow: each entry into a function of the package, from the making of the group
and the batch to the end of the walk. An awaited coroutine that goes on is entered again.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import attrs

import aiolosant
from aiolosant import LosantClient, NewExperienceGroup, by_tag
from aiolosant.emulator import Emulator

from .table import Row

_PACKAGE = Path(aiolosant.__file__).parent
# What each road may take at most.
LIMITS = {"create_many(unique_by)": (115, 95, 30), "get": (32, None, 5)}


@attrs.define
class Road:
    """The functions that were entered, in their order, by the file and the line where each stands."""

    steps: list[tuple[str, int]] = attrs.field(factory=list)

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Note a step; for `sys.setprofile`."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(str(_PACKAGE)):
            return
        module = str(Path(code.co_filename).relative_to(_PACKAGE))
        if not module.startswith("emulator"):
            self.steps.append((module, code.co_firstlineno))

    @property
    def functions(self) -> int:
        """How many different functions were entered."""
        return len(set(self.steps))

    @property
    def changes_of_module(self) -> int:
        """How often a step was in another module than the one before."""
        return _changes([module for module, _ in self.steps])

    @property
    def changes_of_wing(self) -> int:
        """How often a step was in another wing than the one before; the front is one as well."""
        return _changes([str(Path(module).parent) for module, _ in self.steps])


def _changes(names: list[str]) -> int:
    return sum(before != after for before, after in itertools.pairwise(names))


def _length(road: Road) -> int:
    return road.changes_of_module


async def trace(work: Callable[[], Awaitable[Any]]) -> Road:
    """Run something, and return the road that it took."""
    road = Road()
    sys.setprofile(road)
    try:
        await work()
    finally:
        sys.setprofile(None)
    return road


async def run(_scale: float) -> list[Row]:
    """The two roads that are held short, each in a client that has been used before."""
    async with Emulator() as emulator:
        client = LosantClient(emulator.token, application_id=emulator.application_id, base_url=emulator.url)
        async with client as losant:
            groups = losant.experience_groups

            async def create(name: str) -> None:
                new = NewExperienceGroup(name, group_tags={"externalId": name})
                async for outcome in groups.create_many([new], unique_by=by_tag("externalId")):
                    if not outcome.ok:
                        raise RuntimeError(f"a group that was not created: {outcome}")

            await create("first")
            (made,) = emulator.groups()
            await groups.get(made["id"])
            # The shortest of some: a busy machine can let tasks meet in another order.
            roads = {
                "create_many(unique_by)": min(
                    [await trace(functools.partial(create, f"{n}")) for n in range(5)], key=_length
                ),
                "get": min([await trace(lambda: groups.get(made["id"])) for _ in range(5)], key=_length),
            }
    rows: list[Row] = []
    for name, road in roads.items():
        functions, modules, wings = LIMITS[name]
        rows.append(
            {
                "road": name,
                "functions": road.functions,
                "of at most": functions,
                "changes of module": road.changes_of_module,
                "out of at most": modules or "-",
                "changes of wing": road.changes_of_wing,
                "and of at most": wings,
            }
        )
        if road.functions > functions or road.changes_of_module > (modules or 999) or road.changes_of_wing > wings:
            raise RuntimeError(f"the road has become longer than it may be: {rows[-1]}")
    return rows
