"""Groups to begin with: records in the shape of Losant's list, brought into the order in which they can be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from .schemas import GroupPost

_SENT = {field.encode_name for field in msgspec.structs.fields(GroupPost)}

Record = Mapping[str, Any]


def parents_first(records: Iterable[Record]) -> list[Record]:
    """The records, each behind the one that it names as its parent by that one's own `id`.

    Raises:
        ValueError: Two records have one id, or some are each other's ancestors.
    """
    records = list(records)
    for n, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise TypeError(f"records[{n}] must be a mapping, not {type(record).__name__}")
    own = {record["id"] for record in records if "id" in record}
    if len(own) < sum("id" in record for record in records):
        raise ValueError("two records have the same id")
    children: dict[Any, list[Record]] = {}
    ordered: list[Record] = []
    for record in records:
        parent_id = record.get("parentId")
        (children.setdefault(parent_id, []) if parent_id in own else ordered).append(record)
    for record in ordered:  # grows meanwhile
        ordered += children.pop(record.get("id"), [])
    if children:
        raise ValueError(f"records that are their own ancestors: those below {', '.join(map(str, children))}"[:500])
    return ordered


def checked_fields(record: Record) -> dict[str, Any]:
    """What a create would send of a record; its parent is not checked.

    Raises:
        ValueError: A field breaks a rule of the API; the message names it.
    """
    fields = {name: value for name, value in record.items() if name in _SENT and name != "parentId"}
    try:
        return msgspec.to_builtins(msgspec.convert(fields, GroupPost))  # type: ignore[no-any-return]  # a Struct becomes a dict
    except msgspec.ValidationError as problem:
        raise ValueError(f"record {record.get('id', record.get('name'))!r}: {problem}") from None


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
