"""Members by what they are called: users by e-mail, endpoints by method and route, devices by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from .._http import codec
from .._http.deadline import Deadline
from .._http.endpoint import GroupsEndpoint
from .._http.request import Request
from .._paging.offset import AnyPages
from ..errors import PlanError
from .record import Record

Member = Mapping[str, Any]


@attrs.frozen
class Kind:
    """One kind of members.

    Attributes:
        word: What one is called.
        path: The list, below the application's path.
        name_of: What a member of the list is known by.
        normal: How such a name compares.
        is_paged: Whether the list comes in pages.
    """

    word: str
    path: str
    name_of: Callable[[Member], str]
    normal: Callable[[str], str]
    is_paged: bool = True


def _route(text: str) -> str:
    method, _, route = text.strip().partition(" ")
    return f"{method.upper()} {route.strip()}"


KINDS = {
    "experience_user_ids": Kind("user", "experience/users", lambda one: str(one["email"]), str.casefold),
    "experience_endpoint_ids": Kind(
        "endpoint", "experience/endpoints", lambda one: f"{one['method']} {one['route']}", _route, is_paged=False
    ),
    "device_ids": Kind("device", "devices", lambda one: str(one["name"]), str.strip),
}
"""By the field of a group that holds their ids."""


async def list_members(endpoint: GroupsEndpoint, field: str) -> dict[str, str]:
    """Return what all members of a kind are called, by their ids.

    Raises:
        LosantError: Reading failed, for example for want of a scope.
    """
    kind = KINDS[field]
    path = f"/applications/{endpoint.application_id}/{kind.path}"
    transport = endpoint.transport

    async def ask(paging: Mapping[str, int]) -> Any:
        request = Request(method="GET", path=path, decode=codec.decode_any_list, params=dict(paging))
        return await transport.call(request, Deadline(transport.timeout, patient=True))

    if not kind.is_paged:
        return {str(one["id"]): kind.name_of(one) for one in (await ask({})).items}
    found: dict[str, str] = {}
    pages = AnyPages(ask, per_page=1000, offset=0, prefetch=0, path=path, start_task=transport.start_task)
    async for page in pages:
        found |= {str(one["id"]): kind.name_of(one) for one in page.items}
    return found


def by_name(field: str, names: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the ids of members by what they are called, as it compares."""
    ids: dict[str, list[str]] = defaultdict(list)
    for member_id, name in names.items():
        ids[KINDS[field].normal(name)].append(member_id)
    return ids


async def resolved(endpoint: GroupsEndpoint, records: Sequence[Record]) -> list[Record]:
    """Return records with the ids of the members that they name. Each kind is read once, if any record names it.

    Raises:
        PlanError: Members are not there, or their names are ambiguous; it tells all of them.
        LosantError: Reading failed.
    """
    if not any(record.members for record in records):
        return list(records)
    ids: dict[str, dict[str, list[str]]] = {}
    for field in KINDS:
        if any(record.members.get(field) for record in records):
            ids[field] = by_name(field, await list_members(endpoint, field))
    problems: list[str] = []
    done = [_with_ids(record, ids, problems) for record in records]
    if problems:
        raise PlanError.of(problems)
    return done


def _with_ids(record: Record, ids: Mapping[str, Mapping[str, list[str]]], problems: list[str]) -> Record:
    fields = dict(record.fields)
    for field, names in record.members.items():
        found = [*fields.get(field, ())]
        for name in names:
            kind, candidates = KINDS[field], ids.get(field, {}).get(KINDS[field].normal(name), [])
            if len(candidates) == 1:
                found.append(candidates[0])
            elif candidates:
                some = ", ".join(candidates[:5])
                problems.append(f"{record.place}: there are {len(candidates)} {kind.word}s {name!r}: {some}")
            else:
                problems.append(f"{record.place}: there is no {kind.word} {name!r}")
        fields[field] = tuple(dict.fromkeys(found))
    group = (
        None if record.group is None else attrs.evolve(record.group, **{name: fields[name] for name in record.members})
    )
    return attrs.evolve(record, fields=fields, members={}, group=group)
