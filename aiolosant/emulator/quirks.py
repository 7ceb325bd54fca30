"""Ways in which an emulator is wrong on purpose: in each of them some other Losant may differ from what is assumed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from typing import Any

import attrs
import msgspec

from .operation import ApiResponse, Call, Operation
from .parameters import GroupListParameters
from .schemas import ApiProblem, GroupPatch, GroupPost, validation

QUIRKS = {
    "keyset": "a list by id is sorted by name",
    "tags": "a query by a tag looks at its key alone",
    "names": "a query by name takes no notice of case",
    "filter": "a filter has no wildcards, and takes notice of case",
    "empty": "an empty $or lets nothing through, and an empty $nor everything",
    "per_page": "a page of more than 1,000 is cut to 1,000 instead of refused",
    "past_end": "a page past the end is a 404",
    "patch": "an update of tags or of a list adds to what is there",
    "children": "the children of a deleted group are deleted as well",
    "duplicates": "a name that is there under the same parent is refused",
    "errors": "an error has another shape",
    "clock": "the server's clock is ten minutes ahead",
}
"""The names of all quirks, and what each of them is."""

_LIST_FIELDS = ("experienceUserIds", "experienceEndpointIds", "deviceIds", "deviceTags")
_AHEAD = 600  # seconds


class Quirks:
    """The quirks of one emulator: each method does what is usual, or the other thing.

    Args:
        names: Names of `QUIRKS`.

    Raises:
        ValueError: There is no quirk of such a name.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset([names] if isinstance(names, str) else names)
        if unknown := sorted(map(repr, self._names - set(QUIRKS))):
            raise ValueError(f"there is no quirk {', '.join(unknown)}; there are {', '.join(QUIRKS)}")

    def query_string(self, query: Mapping[str, str]) -> Mapping[str, str]:
        """Return a query string as it is to be read."""
        if "per_page" in self._names and query.get("perPage", "").isdecimal():
            return {**query, "perPage": str(min(1000, int(query["perPage"])))}
        return query

    def answer(self, operation: Operation, call: Call) -> ApiResponse:
        """Answer a call.

        Raises:
            ApiProblem: It is refused.
        """
        if self._names:
            if isinstance(call.parameters, GroupListParameters):
                call = self._listed(call)
            elif operation.body is GroupPost:
                self._check_name(call)
            elif operation.body is GroupPatch and "patch" in self._names:
                call = attrs.evolve(call, body=_added(call))
            elif operation.scope == "experienceGroup.delete" and "children" in self._names:
                _delete_below(call)
        content = operation.answer(call)
        is_page = isinstance(call.parameters, GroupListParameters) and call.parameters.page > 0
        if is_page and "past_end" in self._names and not content["items"]:  # type: ignore[index]  # a list
            raise ApiProblem(404, "NotFound", "There is no such page")
        return ApiResponse(operation.status, content, self._headers())

    def error(self, response: ApiResponse) -> ApiResponse:
        """Return an error in the shape that it is to have."""
        if "errors" in self._names and isinstance(response.content, dict):
            content = {"error": {"text": response.content.get("message")}}
            return ApiResponse(response.status, content, self._headers())
        return attrs.evolve(response, headers=self._headers())

    def _headers(self) -> Mapping[str, str]:
        return {"Date": formatdate(time.time() + _AHEAD, usegmt=True)} if "clock" in self._names else {}

    def _listed(self, call: Call) -> Call:
        wanted, query = call.parameters, call.prepared
        if "keyset" in self._names and wanted.sort_field == "id":
            wanted = msgspec.structs.replace(wanted, sort_field="name")
        if "filter" in self._names and wanted.filter and wanted.filter_field and query is None:
            query = {"name": wanted.filter}
        return attrs.evolve(call, parameters=wanted, prepared=None if query is None else self._understood(query))

    def _understood(self, query: Any) -> Any:
        """Return a query as it is taken to mean."""
        if not isinstance(query, dict):
            return query
        understood: dict[str, Any] = {}
        for field, condition in query.items():
            if field in ("$and", "$or", "$nor") and condition:
                understood[field] = [self._understood(part) for part in condition]
            elif field == "$or" and "empty" in self._names:
                understood["id"] = None
            elif field == "$nor" and "empty" in self._names:
                continue
            elif field == "groupTags" and "tags" in self._names and isinstance(condition, dict):
                key = condition.get("$tagKey") or next((name for name in condition if not name.startswith("$")), None)
                understood[field] = condition if key is None else {"$tagKey": key}
            elif field == "name" and "names" in self._names:
                understood[field] = {**(condition if isinstance(condition, dict) else {"$eq": condition}), "$ci": True}
            else:
                understood[field] = condition
        return understood

    def _check_name(self, call: Call) -> None:
        if "duplicates" not in self._names:
            return
        wanted = (call.body["name"], call.body.get("parentId"))
        if any((group["name"], group["parentId"]) == wanted for group in call.state.groups.groups(call.application_id)):
            raise validation("there is a group of that name")


def _added(call: Call) -> dict[str, Any]:
    """Return the body of an update that adds to what is there."""
    group = call.state.groups.get(call.application_id, call.ids["experienceGroupId"]) or {}
    body = dict(call.body)
    if "groupTags" in body:
        body["groupTags"] = {**group.get("groupTags", {}), **body["groupTags"]}
    for field in _LIST_FIELDS:
        if field in body:
            there = group.get(field, [])
            body[field] = [*there, *(one for one in body[field] if one not in there)]
    return body


def _delete_below(call: Call) -> None:
    doomed = call.ids["experienceGroupId"].lower()
    groups = call.state.groups.groups(call.application_id)
    # The deepest first, or each would hand its children to its parent.
    for group in sorted(groups, key=lambda group: -len(group["ancestorIds"])):
        if doomed in group["ancestorIds"]:
            call.state.groups.delete(call.application_id, group["id"])
