"""JSON to models and back."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given

from aiolosant import DeviceTag, ExperienceGroup, NewExperienceGroup, wire

from .samples import sample, sample_object
from .strategies import new_groups


def test_the_documented_group_is_read_whole() -> None:
    """Every documented field arrives, dates aware and in UTC; fields of the API's own housekeeping are ignored."""
    assert wire.decode_group(sample("group")) == ExperienceGroup(
        id="575ed78e7ae143cd83dc4aab",
        application_id="575ec8687ae143cd83dc4a97",
        creation_date=datetime(2022, 1, 30, 17, 18, 11, 911_000, tzinfo=UTC),
        last_updated=datetime(2022, 2, 1, 9, tzinfo=UTC),
        name="My Great Group",
        description="All of the plant in Köln",
        experience_user_ids=("575ed70c7ae143cd83dc4aa9",),
        experience_endpoint_ids=("575ed71e7ae143cd83dc4aaa",),
        device_ids=("575ecf887ae143cd83dc4aa2", "575ecf887ae143cd83dc4aa3"),
        group_tags={"region": "eu", "external-id_1": "4711"},
        device_tags=(DeviceTag("site", "cologne"), DeviceTag(key="gateway"), DeviceTag(value="north")),
        device_query_json='{"name":{"$startsWith":"pump"}}',
        parent_id="575ed78e7ae143cd83dc4aac",
        ancestor_ids=("575ed78e7ae143cd83dc4aad", "575ed78e7ae143cd83dc4aac"),
        direct_device_count=2,
        total_device_count=17,
    )


def test_the_documented_group_is_written_as_it_was_read() -> None:
    """A group written in the API's shape is the documented group again."""
    written = wire.to_object(wire.decode_group(sample("group")))
    housekeeping = {"_type", "_etag", "_links", "experienceGroupId"}
    assert json.loads(wire.encode(written)) == {
        name: value for name, value in sample_object("group").items() if name not in housekeeping
    }


def test_the_documented_page_is_read() -> None:
    """Null is the default; the page says its own number and size."""
    page = wire.decode_page(sample("groups"), number=0, per_page=100)
    assert (page.number, page.per_page, page.total_count) == (3, 2, 12)
    assert [group.name for group in page.items] == ["Bare", "Child"]
    assert page.items[0] == ExperienceGroup(id="575ed78e7ae143cd83dc4aab", name="Bare")


def test_a_page_that_does_not_say_is_the_page_that_was_asked_for() -> None:
    """Without page and perPage in the answer, what was asked for holds; the total is then unknown."""
    page = wire.decode_page(b'{"items": []}', number=4, per_page=50)
    assert (page.number, page.per_page, page.total_count) == (4, 50, None)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"items": [{"id": "1", "name": "a"}, {"id": "2", "name": 5}]}', r"\$\.items\[1\]\.name"),
        (b'{"items": [{"id": "1", "name": "a", "parentId": 7}]}', r"\$\.items\[0\]\.parentId"),
        (b'{"items": [{"id": "1", "name": "a", "deviceTags": [{"key": 1}]}]}', r"\$\.items\[0\]\.deviceTags\[0\]\.key"),
        (b'{"items": [{"id": "1", "name": "a", "creationDate": "2022-01-30T17:18:11"}]}', r"\.creationDate"),
        (b'{"items": [{"id": "1"}]}', r"missing required field `name`.*\$\.items\[0\]"),
        (b'{"items": {}}', r"\$\.items"),
        (b'{"itemz": []}', "missing required field `items`"),
    ],
)
def test_a_wrong_type_is_an_error_with_its_path(body: bytes, place: str) -> None:
    """An item that cannot be understood is never dropped."""
    with pytest.raises(msgspec.ValidationError, match=place):
        wire.decode_page(body, number=0, per_page=100)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id": "1", "name": "a"', b'{"id": "\xff", "name": "a"}'])
def test_what_is_no_json_is_another_error(body: bytes) -> None:
    """A body that breaks off or is no JSON at all is told from JSON of a wrong shape."""
    with pytest.raises(ValueError, match=r"truncated|malformed|invalid start byte") as caught:
        wire.decode_group(body)
    assert not isinstance(caught.value, msgspec.ValidationError)


@given(new_groups)
def test_a_new_group_survives_the_wire(group: NewExperienceGroup) -> None:
    """What is written of a new group reads as the same group."""
    assert wire.new_group(json.loads(wire.encode(wire.to_object(group)))) == group


def test_what_is_not_given_is_not_sent() -> None:
    """A bare group is its name alone."""
    assert wire.encode(wire.to_object(NewExperienceGroup("a"))) == b'{"name":"a"}'


def test_changes_send_what_is_given_empty_or_not() -> None:
    """An update can empty a list and clear a parent."""
    changes = {"parent_id": None, "device_ids": (), "device_tags": (DeviceTag(key="a"),), "description": ""}
    written = json.loads(wire.encode(wire.changes_to_object(changes)))
    assert written == {"parentId": None, "deviceIds": [], "deviceTags": [{"key": "a"}], "description": ""}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "missing required field `name`"),
        ({"name": 1}, r"Expected `str`, got `int` - at `\$\.name`"),
        ({"name": "a", "colour": "red"}, "unknown field `colour`"),
        ({"name": "a", "deviceTags": [{"kay": "a"}]}, r"unknown field `kay` - at `\$\.deviceTags\[0\]`"),
        ({"name": "a", "deviceIds": None}, r"\$\.deviceIds"),
        ({"name": "a", "description": None}, r"\$\.description"),
        ({"name": "a", "deviceTags": [{"key": None}]}, r"\$\.deviceTags\[0\]\.key"),
        ({"name": ""}, "name must have 1 to 255"),
        ({1: "a"}, "Expected `str`"),
    ],
)
def test_a_mapping_that_is_no_group_is_a_value_error(mapping: dict[str, Any], message: str) -> None:
    """A mapping of the API's shape is checked as strictly as the API does."""
    with pytest.raises(ValueError, match=message):
        wire.new_group(mapping)


def test_errors_are_read_in_losants_shape_and_quoted_in_any_other() -> None:
    """A gateway's HTML is quoted to 500 characters at most, whatever it is encoded in."""
    assert wire.decode_error(sample("error")) == ("NotFound", "Experience Group was not found")
    assert wire.decode_error(b"<h1>Bad Gateway</h1>\xff") == ("", "<h1>Bad Gateway</h1>\ufffd")
    deep = b'{"message": "x", "detail": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert wire.decode_error(deep)[1].startswith('{"message": "x"')
    assert wire.decode_error(b' {"error": "Bad Gateway"}') == ("", '{"error": "Bad Gateway"}')
    assert len(wire.decode_error(b"x" * 10_000)[1]) == 5000


def test_a_delete_must_be_confirmed() -> None:
    """Only `{"success": true}` says that a group was deleted."""
    wire.decode_success(sample("success"))
    for body in (b'{"success": false}', b"{}", b""):
        with pytest.raises(ValueError, match=r"success|truncated"):
            wire.decode_success(body)
