"""A plan as a file: JSON with a version and a digest, so that what was approved is what runs."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from .._files import whole_file
from .._http import codec
from ..errors import PlanError
from ..identity import ById, ByName, ByTag, MatchBy
from ..models import check_changes
from .change import Change
from .record import Record
from .warnings import PlanWarning

Source = str | os.PathLike[str]

_FORMAT = "aiolosant plan"
_VERSION = 1
_BEGINNING = re.compile(rb'\s*\{\s*"(format"\s*:\s*"aiolosant plan"|digest"\s*:)')


def to_object(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan as JSON has it, given its attributes."""
    return {
        "applicationId": plan["application_id"],
        "matchBy": identity_to_object(plan["match_by"]),
        "unchanged": plan["unchanged"],
        "live": plan["live"],
        "matched": dict(plan["matched"]),
        "warnings": [attrs.asdict(warning) for warning in plan["warnings"]],
        "changes": [change_to_object(change) for change in plan["changes"]],
    }


def digest(content: Mapping[str, Any]) -> str:
    """Return the fingerprint of what `to_object` made."""
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def write(content: Mapping[str, Any], path: Path) -> None:
    """Write what `to_object` made."""
    whole = {"format": _FORMAT, "version": _VERSION, "digest": digest(content), "plan": content}
    with whole_file(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")


def read(path: Path) -> dict[str, Any]:
    """Return the arguments of the plan that a file holds.

    Raises:
        PlanError: It is no plan, it was changed since, or it is of another version of the format.
    """
    try:
        whole = msgspec.json.decode(path.read_bytes())
    except (ValueError, RecursionError) as problem:
        raise PlanError.of([f"{path}: this is no plan: {problem}"]) from None
    if not isinstance(whole, dict) or whole.get("format") != _FORMAT:
        raise PlanError.of([f"{path}: this is no plan; `aiolosant plan FILE --out {path.name}` makes one"])
    if whole.get("version") != _VERSION:
        raise PlanError.of([f"{path}: the plan is of format {whole.get('version')}, and {_VERSION} is known here"])
    content = whole.get("plan")
    if not isinstance(content, dict) or digest(content) != whole.get("digest"):
        raise PlanError.of([f"{path}: the plan was changed since it was saved; make it anew"])
    try:
        return {
            "changes": tuple(map(change_from_object, content["changes"])),
            "unchanged": content["unchanged"],
            "match_by": identity_from_object(content["matchBy"]),
            "matched": content["matched"],
            "warnings": tuple(
                PlanWarning(**{**warning, "group_ids": tuple(warning["group_ids"])}) for warning in content["warnings"]
            ),
            "live": content["live"],
            "application_id": content["applicationId"],
        }
    except (KeyError, TypeError, ValueError) as problem:
        raise PlanError.of([f"{path}: the plan cannot be read: {problem!r}"]) from None


def is_plan(path: Path) -> bool:
    """Whether a file says of itself that it is a plan: in JSON, and at its beginning."""
    with path.open("rb") as file:
        return _BEGINNING.match(file.read(100)) is not None


def identity_to_object(match_by: MatchBy) -> dict[str, Any]:
    """Return what groups are matched by as JSON has it."""
    match match_by:
        case ByTag():
            return {"tag": match_by.tag, "adopt": match_by.adopt is not None}
        case ById():
            return {"id": True, "orName": match_by.or_name}
    return {"name": True}


def identity_from_object(content: Mapping[str, Any]) -> MatchBy:
    """Return what `identity_to_object` was given."""
    if "tag" in content:
        return ByTag(content["tag"], adopt=ByName() if content["adopt"] else None)
    return ById(or_name=content.get("orName", True)) if "id" in content else ByName()


def change_to_object(change: Change) -> dict[str, Any]:
    """Return a change as JSON has it."""
    content: dict[str, Any] = {
        "action": change.action,
        "path": list(change.path),
        "groupId": change.group_id,
        "fields": codec.changes_to_object(change.fields),
        "parent": change.parent,
        "dependsOn": change.depends_on,
        "current": None if change.current is None else change.current.to_dict(),
        "mergesTags": change.merges_tags,
        "oldPath": change.old_path,
        "parentRecordId": change.parent_record_id,
        "adopted": change.adopted,
        "isAlone": change.is_alone,
        "orphans": list(change.orphans),
    }
    if change.record is not None:
        record = change.record
        content["record"] = record.to_dict() | {
            "_place": record.place,
            "_row": record.row,
            "_delimiter": record.delimiter,
            "_mergesTags": record.merges_tags,
            "_clearedTags": record.cleared_tags,
            "_membersMode": record.members_mode,
            "_empty": record.empty,
        }
    return content


def change_from_object(content: Mapping[str, Any]) -> Change:
    """Return what `change_to_object` was given."""
    fields = codec.to_changes(content["fields"])
    current = content["current"]
    return Change(
        content["action"],
        tuple(content["path"]),
        content["groupId"],
        check_changes(fields) if fields else {},
        content["parent"],
        content["dependsOn"],
        None if current is None else codec.decode_group(msgspec.json.encode(current)),
        merges_tags=content["mergesTags"],
        record=_record_from_object(content["record"]) if "record" in content else None,
        old_path=None if content["oldPath"] is None else tuple(content["oldPath"]),
        parent_record_id=content["parentRecordId"],
        adopted=content["adopted"],
        is_alone=content["isAlone"],
        orphans=tuple(content["orphans"]),
    )


def _record_from_object(content: Mapping[str, Any]) -> Record:
    given = {name: value for name, value in content.items() if name in codec.FIELDS and name != "parentId"}
    return Record(
        check_changes(codec.to_changes(given)),
        content.get("id"),
        content.get("parentId"),
        content["_place"],
        merges_tags=content["_mergesTags"],
        keeps_parent="parentId" not in content,
        cleared_tags=tuple(content["_clearedTags"]),
        members_mode=content["_membersMode"],
        empty=tuple(content["_empty"]),
        row=content["_row"],
        delimiter=content.get("_delimiter", ","),  # plans that were kept before it was written have none
    )
