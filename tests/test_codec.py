"""JSON to models and back."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given

from aiolosant import DeviceTag, ExperienceGroup, NewExperienceGroup
from aiolosant._http import codec

from .samples import sample, sample_object
from .strategies import new_groups


def test_the_documented_group_is_read_whole() -> None:
    """Every documented field arrives, dates aware and in UTC; fields of the API's own housekeeping are ignored."""
    assert codec.decode_group(sample("group")) == ExperienceGroup(
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
    written = codec.to_object(codec.decode_group(sample("group")))
    housekeeping = {"_type", "_etag", "_links", "experienceGroupId"}
    assert json.loads(codec.encode(written)) == {
        name: value for name, value in sample_object("group").items() if name not in housekeeping
    }


def test_the_documented_page_is_read() -> None:
    """Null is the default; the page says its own number and size."""
    page = codec.decode_page(sample("groups"), number=0, per_page=100)
    assert (page.number, page.per_page, page.total_count) == (3, 2, 12)
    assert [group.name for group in page.items] == ["Bare", "Child"]
    assert page.items[0] == ExperienceGroup(id="575ed78e7ae143cd83dc4aab", name="Bare")


def test_a_page_that_does_not_say_is_the_page_that_was_asked_for() -> None:
    """Without page and perPage in the answer, what was asked for holds; the total is then unknown."""
    page = codec.decode_page(b'{"items": []}', number=4, per_page=50)
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
        codec.decode_page(body, number=0, per_page=100)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id": "1", "name": "a"', b'{"id": "\xff", "name": "a"}'])
def test_what_is_no_json_is_another_error(body: bytes) -> None:
    """A body that breaks off or is no JSON at all is told from JSON of a wrong shape."""
    with pytest.raises(ValueError, match=r"truncated|malformed|invalid start byte") as caught:
        codec.decode_group(body)
    assert not isinstance(caught.value, msgspec.ValidationError)


@given(new_groups)
def test_a_new_group_survives_the_wire(group: NewExperienceGroup) -> None:
    """What is written of a new group reads as the same group."""
    assert codec.new_group(json.loads(codec.encode(codec.to_object(group)))) == group


def test_what_is_not_given_is_not_sent() -> None:
    """A bare group is its name alone."""
    assert codec.encode(codec.to_object(NewExperienceGroup("a"))) == b'{"name":"a"}'


def test_changes_send_what_is_given_empty_or_not() -> None:
    """An update can empty a list and clear a parent."""
    changes = {"parent_id": None, "device_ids": (), "device_tags": (DeviceTag(key="a"),), "description": ""}
    written = json.loads(codec.encode(codec.changes_to_object(changes)))
    assert written == {"parentId": None, "deviceIds": [], "deviceTags": [{"key": "a"}], "description": ""}


# Every problem, by the API's names, and what the user wrote as it was written.
_ALL = (
    r"^name is missing; deviceIds\[0\] must be 24 hex digits, not 'x'; "
    r"groupTags\['device_ids'\] must be text, not int; there is no field 'my'"
)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "^name is missing$"),
        ({"name": 1}, "^name must be text, not int$"),
        ({"name": "a", "colour": "red"}, "^there is no field 'colour'; a group has name, description"),
        ({"name": "a", "deviceTags": [{"kay": "a"}]}, r"^deviceTags\[0\] has only key and value, not kay$"),
        ({"name": "a", "deviceIds": None}, "^deviceIds must not be null"),
        ({"name": "a", "description": None}, "^description must not be null"),
        ({"name": "a", "deviceTags": [{"key": None}]}, r"^deviceTags\[0\]\.key must be text, not NoneType$"),
        ({"name": ""}, "name must have 1 to 255"),
        ({1: "a"}, "name is missing; there is no field '1'"),
        ({"deviceIds": ["x"], "my": 1, "groupTags": {"device_ids": 5}}, _ALL),
    ],
)
def test_a_mapping_that_is_no_group_is_a_value_error(mapping: dict[str, Any], message: str) -> None:
    """A mapping of the API's shape is checked as strictly as the API does."""
    with pytest.raises(ValueError, match=message):
        codec.new_group(mapping)


def test_errors_are_read_in_losants_shape_and_quoted_in_any_other() -> None:
    """A gateway's HTML is quoted to 500 characters at most, whatever it is encoded in."""
    assert codec.decode_error(sample("error")) == ("NotFound", "Experience Group was not found")
    assert codec.decode_error(b"<h1>Bad Gateway</h1>\xff") == ("", "<h1>Bad Gateway</h1>\ufffd")
    deep = b'{"message": "x", "detail": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert codec.decode_error(deep)[1].startswith('{"message": "x"')
    assert codec.decode_error(b' {"error": "Bad Gateway"}') == ("", '{"error": "Bad Gateway"}')
    assert len(codec.decode_error(b"x" * 10_000)[1]) == 5000


def test_a_delete_must_be_confirmed() -> None:
    """Only `{"success": true}` says that a group was deleted."""
    codec.decode_success(sample("success"))
    for body in (b'{"success": false}', b"{}", b""):
        with pytest.raises(ValueError, match=r"success|truncated"):
            codec.decode_success(body)
