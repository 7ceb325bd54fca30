"""The kinds of bulk work that `work` times: what is there before, and how ours and the script do it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from aiolosant.reconcile import Plan

from .work_contenders import TAG, Ours, Script

_SITES = 10
Ids = dict[str, str]


@attrs.frozen
class Kind:
    """A kind of work.

    Attributes:
        name: What it is called.
        world: What is there before, for so many changes.
        prepare: What ours does before the clock starts, such as a plan.
        ours: How ours does it, with what was prepared.
        script: How the script does it, with the ids of what is there.
        is_for_limits: Whether it is timed under limits as well.
    """

    name: str
    world: Callable[[int], list[dict[str, Any]]]
    prepare: Callable[[Ours, int], Awaitable[Any]]
    ours: Callable[[Ours, int, Any], Awaitable[None]]
    script: Callable[[Script, int, Ids], Awaitable[Any]]
    is_for_limits: bool = False


def _names(count: int) -> list[str]:
    return [f"Tenant {n}" for n in range(count)]


def _group(name: str) -> dict[str, Any]:
    return {"id": name, "name": name, "groupTags": {TAG: name}}


def _tenants(count: int) -> list[dict[str, Any]]:
    return [_group(f"Site {n}") for n in range(_SITES)] + [_group(name) for name in _names(count)]


def _updated(count: int) -> list[dict[str, Any]]:
    return [{"groupTags": {TAG: name}, "name": name, "description": "new"} for name in _names(count)]


def _moved(count: int) -> list[dict[str, Any]]:
    return [
        *(_group(f"Site {n}") for n in range(_SITES)),
        *(_group(name) | {"parentId": f"Site {n % _SITES}"} for n, name in enumerate(_names(count))),
    ]


def _mixed(count: int) -> list[dict[str, Any]]:
    """A third each is updated, moved and new."""
    wanted = [_updated(count)[n] if n % 3 else _moved(count)[_SITES + n] for n in range(2 * count // 3)]
    return [
        *(_group(f"Site {n}") for n in range(_SITES)),
        *wanted,
        *(_group(name) for name in _names(count)[len(wanted) :]),
    ]


def _tree(count: int) -> list[dict[str, Any]]:
    """Each group has ten below it, as far as they reach."""
    names = _names(count)
    below = {name: names[(n - 1) // 10] for n, name in enumerate(names) if n}
    return [_group(name) | ({"parentId": below[name]} if name in below else {}) for name in names]


async def _nothing(_ours: Ours, _count: int) -> None:
    return None


async def _plan_of(ours: Ours, records: list[dict[str, Any]], *, prune: bool = False) -> Plan:
    return await ours.plan(records, prune=prune)


def _patches(change: Callable[[int, Ids], dict[str, Any]]) -> Callable[[Script, int, Ids], Awaitable[Any]]:
    async def work(script: Script, count: int, ids: Ids) -> None:
        await asyncio.gather(
            *(script.ask("PATCH", f"/{ids[name]}", json=change(n, ids)) for n, name in enumerate(_names(count)))
        )

    return work


async def _script_mixed(script: Script, count: int, ids: Ids) -> None:
    there = 2 * count // 3
    wanted = [{"description": "new"} if n % 3 else {"parentId": ids[f"Site {n % _SITES}"]} for n in range(there)]
    names = _names(count)
    await asyncio.gather(
        *(script.ask("PATCH", f"/{ids[name]}", json=body) for name, body in zip(names, wanted, strict=False)),
        script.create(names[there:]),
    )


async def _script_deletes(script: Script, count: int, ids: Ids) -> None:
    await asyncio.gather(*(script.ask("DELETE", f"/{ids[name]}") for name in _names(count)))


def _creates(name: str, *, unique: bool) -> Kind:
    return Kind(
        name,
        lambda _: [],
        _nothing,
        lambda ours, count, _: ours.create(_names(count), unique=unique),
        lambda script, count, _: script.create(_names(count)),
        is_for_limits=unique,
    )


KINDS = (
    _creates("create", unique=False),
    _creates("create, unique_by", unique=True),
    Kind(
        "all there already",
        _tenants,
        _nothing,
        lambda ours, count, _: ours.create(_names(count), unique=True),
        lambda script, count, _: script.create_missing(_names(count)),
    ),
    Kind(
        "update",
        _tenants,
        lambda ours, count: _plan_of(ours, _updated(count)),
        lambda ours, _, plan: ours.apply(plan),
        _patches(lambda _n, _ids: {"description": "new"}),
    ),
    Kind(
        "move",
        _tenants,
        lambda ours, count: _plan_of(ours, _moved(count)),
        lambda ours, _, plan: ours.apply(plan),
        _patches(lambda n, ids: {"parentId": ids[f"Site {n % _SITES}"]}),
    ),
    Kind(
        "delete",
        _tenants,
        lambda ours, _: _plan_of(ours, _tenants(0), prune=True),
        lambda ours, _, plan: ours.apply(plan),
        _script_deletes,
    ),
    Kind(
        "update, move, create",
        lambda count: _tenants(2 * count // 3),
        lambda ours, count: _plan_of(ours, _mixed(count)),
        lambda ours, _, plan: ours.apply(plan),
        _script_mixed,
        is_for_limits=True,
    ),
    Kind(
        "copy a tree",
        _tree,
        _nothing,
        lambda ours, _count, _: ours.copy(),
        lambda script, _count, _: script.copy(),
    ),
)
