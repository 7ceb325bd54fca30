"""Groups to begin with: records in the shape of Losant's list, brought into the order in which they can be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from .schemas import ID, GroupPatch, GroupPost

# What a listing has besides, and only the server sets.
_ANSWERED = {
    *("id", "experienceGroupId", "applicationId", "creationDate", "lastUpdated", "ancestorIds"),
    *("directDeviceCount", "totalDeviceCount", "_type", "_etag", "_links", "_actions", "_embedded"),
}
_SENT = {field.encode_name for field in msgspec.structs.fields(GroupPost)}

Record = Mapping[str, Any]


def checked_records(records: Iterable[object]) -> list[Record]:
    """The records as mappings, each behind the one that it names as its parent by that one's own `id`.

    Raises:
        TypeError: One is neither a mapping nor something with a `to_dict()`.
        ValueError: One has a field that no group has, two have one id, or some are each other's ancestors.
    """
    mappings = [_mapping(n, record) for n, record in enumerate(records)]
    own = {_normal(record["id"]) for record in mappings if record.get("id") is not None}
    if len(own) < sum(record.get("id") is not None for record in mappings):
        raise ValueError("two records have the same id")
    children: dict[Any, list[Record]] = {}
    ordered: list[Record] = []
    for record in mappings:
        parent_id = _normal(record.get("parentId"))
        (children.setdefault(parent_id, []) if parent_id in own else ordered).append(record)
    for record in ordered:  # grows meanwhile
        if record.get("id") is not None:
            ordered += children.pop(_normal(record["id"]), [])
    if children:
        raise ValueError(f"records that are their own ancestors: those below {', '.join(map(str, children))}"[:500])
    return ordered


def _mapping(n: int, record: object) -> Record:
    as_dict = getattr(record, "to_dict", None)  # a model or a record of the client's, which is not imported here
    mapping = as_dict() if callable(as_dict) else record
    if not isinstance(mapping, Mapping):
        raise TypeError(f"records[{n}] must be a mapping or have a to_dict(), not {type(record).__name__}")
    if unknown := sorted(str(name) for name in mapping if name not in _SENT and name not in _ANSWERED):
        raise ValueError(f"records[{n}] has fields that no group has: {', '.join(unknown)}")
    for name in ("id", "parentId"):
        if not isinstance(mapping.get(name), str | int | None):
            raise TypeError(f"records[{n}].{name} must be text or null, not {type(mapping[name]).__name__}")
    return mapping


def _normal(name: object) -> object:
    """A name of a record as it compares: ids of the API have no case."""
    return name.lower() if isinstance(name, str) and ID.fullmatch(name) else name


def checked_fields(record: Record) -> dict[str, Any]:
    """What a create would send of a record; its parent is not checked.

    Raises:
        ValueError: A field breaks a rule of the API; the message names it.
    """
    # null and empty text in a listing mean that there is none.
    none = {name for name in ("description", "deviceQueryJson") if record.get(name) in (None, "")}
    fields = {name: value for name, value in record.items() if name in _SENT - none and name != "parentId"}
    try:
        return msgspec.to_builtins(msgspec.convert(fields, GroupPost))  # type: ignore[no-any-return]  # a Struct becomes a dict
    except msgspec.ValidationError as problem:
        known_as = record.get("id", record.get("name"))
        which = "a record without id and name" if known_as is None else f"record {known_as!r}"
        raise ValueError(f"{which}: {problem}") from None


def checked_changes(changes: object) -> dict[str, Any]:
    """The changes to a group, by the names and rules of the API.

    Raises:
        ValueError: There is no such field, or a change breaks a rule; the message names it.
    """
    try:
        return msgspec.to_builtins(msgspec.convert(changes, GroupPatch))  # type: ignore[no-any-return]  # as above
    except msgspec.ValidationError as problem:
        raise ValueError(f"changes: {problem}") from None


def kept_moments(record: Record) -> dict[str, int]:
    """The dates of a record that was listed somewhere, in milliseconds.

    Raises:
        ValueError: One is no date.
    """
    moments = {}
    for name in ("creationDate", "lastUpdated"):
        if record.get(name) is not None:
            try:
                moments[name] = round(datetime.fromisoformat(record[name]).timestamp() * 1000)
            except (TypeError, ValueError):
                which = f"record {record.get('name')!r}"
                raise ValueError(f"{which}: {name} must be a date as the API writes it, not {record[name]!r}") from None
    return moments


def synthetic(count: int) -> Sequence[Record]:
    """A tree of `count` made-up groups: customers, ten sites each, ten areas each."""
    records: list[Record] = []
    for n in range(count):
        customer, within = divmod(n, 111)  # one customer, ten sites, a hundred areas
        site, area = divmod(within - 1, 11)
        record: dict[str, Any] = {"id": str(n), "groupTags": {"externalId": str(n)}}
        if within == 0:
            record["name"] = f"Customer {customer:05}"
        elif area == 0:
            record |= {"name": f"Customer {customer:05} / Site {site}", "parentId": str(customer * 111)}
        else:
            record |= {"name": f"Area {area}", "parentId": str(customer * 111 + 1 + site * 11)}
        records.append(record)
    return records
