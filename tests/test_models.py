"""The limits that the models hold."""

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given

from aiolosant import DeviceTag, ExperienceGroup, NewExperienceGroup
from aiolosant.models import check_changes

from .strategies import new_groups

ID = "575ed78e7ae143cd83dc4aab"

BEYOND: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": ""}, ValueError, "name must have 1 to 255 characters, not 0"),
    ({"name": "x" * 256}, ValueError, "name must have 1 to 255 characters, not 256"),
    ({"name": 7}, TypeError, "name must be text, not int"),
    ({"name": None}, TypeError, "name must be text, not NoneType"),
    ({"name": "\ud800"}, ValueError, "name is no valid Unicode text"),
    ({"description": "x" * 32_768}, ValueError, "description must have 0 to 32767"),
    ({"device_ids": [ID] * 1001}, ValueError, "device_ids must have at most 1000 items, not 1001"),
    ({"device_ids": [ID, "abc"]}, ValueError, r"device_ids\[1\] must be 24 hex digits, not 'abc'"),
    ({"device_ids": ID}, TypeError, "device_ids must be a sequence, not str"),
    ({"device_ids": None}, TypeError, "device_ids must be a sequence, not NoneType"),
    ({"experience_user_ids": [ID + "\n"]}, ValueError, r"experience_user_ids\[0\]"),
    ({"experience_endpoint_ids": ["٤" * 24]}, ValueError, r"experience_endpoint_ids\[0\]"),
    ({"experience_user_ids": [7]}, TypeError, r"experience_user_ids\[0\] must be text"),
    ({"device_tags": [DeviceTag()] * 101}, ValueError, "device_tags must have at most 100"),
    ({"device_tags": [{"key": "a"}]}, TypeError, r"device_tags\[0\] must be a DeviceTag, not dict"),
    ({"device_tags": [DeviceTag(key="a b")]}, ValueError, r"device_tags\[0\].key must be 1 to 255 letters"),
    ({"device_tags": [DeviceTag(value="")]}, ValueError, r"device_tags\[0\].value must have 1 to 255"),
    ({"group_tags": {"a b": "c"}}, ValueError, "a key of group_tags must be 1 to 255 letters"),
    ({"group_tags": {"a\n": "c"}}, ValueError, "a key of group_tags"),
    ({"group_tags": {1: "c"}}, TypeError, "a key of group_tags must be text"),
    ({"group_tags": {"a": ""}}, ValueError, r"group_tags\['a'\] must have 1 to 255"),
    ({"group_tags": {"a": 1}}, TypeError, r"group_tags\['a'\] must be text"),
    ({"group_tags": [("a", "b")]}, TypeError, "group_tags must be a mapping, not list"),
    ({"device_query_json": "x" * 8193}, ValueError, "device_query_json must have 0 to 8192"),
    ({"device_query_json": 5}, TypeError, "device_query_json must be text"),
    ({"device_query_json": "[]"}, ValueError, "device_query_json must be a JSON object, not \\[\\]"),
    ({"device_query_json": "{"}, ValueError, "device_query_json must be a JSON object as text, or a dict"),
    ({"device_query_json": {"a": {1}}}, ValueError, "device_query_json cannot be written as JSON"),
    ({"device_query_json": {"a": "x" * 8192}}, ValueError, "device_query_json must have 0 to 8192"),
    ({"parent_id": "root"}, ValueError, "parent_id must be 24 hex digits, not 'root'"),
    ({"parent_id": 5}, TypeError, "parent_id must be text"),
]


@pytest.mark.parametrize(("fields", "kind", "message"), BEYOND)
def test_what_breaks_a_limit_cannot_be_made(fields: dict[str, Any], kind: type[Exception], message: str) -> None:
    """Each documented limit is checked when a group is made, with the field's name in the message."""
    with pytest.raises(kind, match=message):
        NewExperienceGroup(**{"name": "ok", **fields})


@pytest.mark.parametrize(("fields", "kind", "message"), BEYOND)
def test_what_breaks_a_limit_cannot_be_changed(fields: dict[str, Any], kind: type[Exception], message: str) -> None:
    """An update holds the same limits; None is refused where nothing can be cleared."""
    if fields.get(next(iter(fields))) is None:
        kind, message = TypeError, "cannot be None"
    with pytest.raises(kind, match=message):
        check_changes(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x" * 255},
        {"name": "𝄞" * 255},
        {"description": ""},
        {"description": "x" * 32_767},
        {"device_ids": (n for n in [ID] * 1000)},
        {"device_tags": [DeviceTag("a" * 255, "b" * 255)] * 100},
        {"group_tags": {"a" * 255: "b" * 255}},
        {"device_query_json": json.dumps("x" * 8184).join(('{"":', "}"))},
        {"device_query_json": {"name": "Köln"}},
        {"parent_id": "ABCDEF0123456789abcdef01"},
    ],
)
def test_what_keeps_to_the_limits_can_be_made(fields: dict[str, Any]) -> None:
    """The limits themselves are allowed; lengths count characters, not bytes."""
    NewExperienceGroup(**{"name": "ok", **fields})


@given(new_groups)
def test_a_group_is_frozen_throughout_and_copies(group: NewExperienceGroup) -> None:
    """A message hashes, copies and pickles, and nothing in it can be changed."""
    assert pickle.loads(pickle.dumps(group)) == group  # noqa: S301 - our own bytes
    assert hash(copy.deepcopy(group)) == hash(group)
    with pytest.raises(AttributeError):
        group.name = "other"  # type: ignore[misc]  # it is what the test is about
    with pytest.raises(TypeError):
        group.group_tags["new"] = "tag"  # type: ignore[index]  # as above
    with pytest.raises(TypeError):
        group.group_tags.update(new="tag")  # type: ignore[attr-defined]  # as above


def test_changes_tell_absent_from_none() -> None:
    """None clears a parent and a device query; an unknown field and no change at all are errors."""
    assert check_changes({"parent_id": None, "device_query_json": None}) == {
        "parent_id": None,
        "device_query_json": None,
    }
    with pytest.raises(TypeError, match="no field 'nmae'"):
        check_changes({"nmae": "x"})
    with pytest.raises(ValueError, match="at least one change"):
        check_changes({})


def test_a_group_has_its_id_under_both_of_the_apis_names() -> None:
    """`experienceGroupId` is the same as `id`."""
    group = ExperienceGroup(id="1" * 24, name="a")
    assert group.experience_group_id == group.id
