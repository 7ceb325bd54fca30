"""Losant's own client, unmodified, against the emulator: what conforms for it conforms."""

import asyncio
from collections.abc import Callable
from typing import Any

import jsonschema
import losant_rest
import pytest
from losant_rest.losant_error import LosantError

from aiolosant.emulator import Emulator
from tests.samples import sample_object

NOWHERE = "0" * 24
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
IDENTITY = {"type": "string", "pattern": "^[A-Fa-f0-9]{24}$"}
IDS = {"type": "array", "items": IDENTITY, "maxItems": 1000}
DATE = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
TAG_KEY, TAG_VALUE = "^[0-9a-zA-Z_-]{1,255}$", {"type": "string", "minLength": 1, "maxLength": 255}
GROUP = {
    "type": "object",
    "required": ["id", "name", "applicationId", "creationDate", "lastUpdated", "_links", "_type", "_etag"],
    "properties": {
        **dict.fromkeys(["id", "experienceGroupId", "applicationId"], IDENTITY),
        **dict.fromkeys(["creationDate", "lastUpdated"], DATE),
        **dict.fromkeys(["experienceUserIds", "experienceEndpointIds", "deviceIds", "ancestorIds"], IDS),
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": {"type": "string", "maxLength": 32767},
        "groupTags": {"type": "object", "patternProperties": {TAG_KEY: TAG_VALUE}, "additionalProperties": False},
        "deviceTags": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "properties": {"key": {"type": "string", "pattern": TAG_KEY}, "value": TAG_VALUE},
                "additionalProperties": False,
            },
        },
        "deviceQueryJson": {"type": ["string", "null"], "maxLength": 8192},
        "parentId": {"oneOf": [IDENTITY, {"type": "null"}]},
        "directDeviceCount": COUNT,
        "totalDeviceCount": COUNT,
    },
}
PAGE = {
    "type": "object",
    "required": ["items", "count", "totalCount", "page", "perPage"],
    "properties": {
        "items": {"type": "array", "items": GROUP},
        **dict.fromkeys(["count", "totalCount", "page", "perPage"], COUNT),
        **dict.fromkeys(["filter", "filterField", "sortField"], TEXT),
        "sortDirection": {"enum": ["asc", "desc", "ASC", "DESC", ""]},
        "applicationId": IDENTITY,
    },
}
ERROR = {"type": "object", "required": ["type", "message"], "properties": {"type": TEXT, "message": TEXT}}


class Official:
    """Calls Losant's client in a thread and holds each answer against the documented shape."""

    def __init__(self, emulator: Emulator) -> None:
        self.application = emulator.application_id
        self.client = losant_rest.Client(auth_token=emulator.token, url=emulator.url)

    async def __call__(self, call: Callable[..., Any], shape: dict[str, Any], **arguments: Any) -> Any:
        answer = await asyncio.to_thread(call, **{"applicationId": self.application, **arguments})
        jsonschema.validate(answer, shape)
        return answer

    async def refused(self, call: Callable[..., Any], status: int, kind: str, **arguments: Any) -> None:
        with pytest.raises(LosantError) as caught:
            await self(call, {}, **arguments)
        jsonschema.validate(caught.value.data, ERROR)
        assert (caught.value.status, caught.value.data["type"]) == (status, kind)


@pytest.fixture
def official(emulator: Emulator) -> Official:
    return Official(emulator)


async def test_create_get_update_and_delete_a_group(official: Official) -> None:
    """Create, get with counts, update, delete, as Losant's client does them."""
    groups, one = official.client.experience_groups, official.client.experience_group
    body = sample_object("group_post")
    group = await official(groups.post, GROUP, experienceGroup=body)
    assert {name: group[name] for name in body} == body
    of_group = {"experienceGroupId": group["id"]}
    assert await official(one.get, GROUP, **of_group) == group
    counted = await official(
        one.get, GROUP, includeDirectDeviceCount="true", includeTotalDeviceCount="true", **of_group
    )
    assert (counted["directDeviceCount"], counted["totalDeviceCount"]) == (2, 2)
    changed = await official(one.patch, GROUP, experienceGroup={"name": "b", "deviceQueryJson": None}, **of_group)
    assert (changed["name"], changed["deviceQueryJson"]) == ("b", None)
    assert await official(one.delete, {}, **of_group) == {"success": True}
    await official.refused(one.get, 404, "NotFound", **of_group)


async def test_lists_with_every_parameter(official: Official) -> None:
    """Sorting, paging, filtering and queries, with the official client's own defaults."""
    groups = official.client.experience_groups
    for name in ("b", "a", "c"):
        await official(groups.post, GROUP, experienceGroup={"name": name, "groupTags": {"of": name}})
    page = await official(groups.get, PAGE)
    assert [group["name"] for group in page["items"]] == ["a", "b", "c"]
    for field in ("name", "id", "creationDate", "lastUpdated"):
        up = await official(groups.get, PAGE, sortField=field, sortDirection="asc")
        down = await official(groups.get, PAGE, sortField=field, sortDirection="desc")
        assert up["items"] == down["items"][::-1]
    second = await official(groups.get, PAGE, page=1, perPage=2)
    assert (second["count"], second["totalCount"], second["page"], second["perPage"]) == (1, 3, 1, 2)
    assert (await official(groups.get, PAGE, filterField="name", filter="B*"))["totalCount"] == 1
    for query in ({"name": "a"}, {"groupTags": {"of": {"$in": ["a"]}}}, {"$nor": [{"name": {"$gt": "a"}}]}):
        found = await official(groups.get, PAGE, query=query)
        assert [group["name"] for group in found["items"]] == ["a"]
    assert "_links" not in (await official(groups.get, {}, _links="false"))["items"][0]


async def test_the_documented_errors(official: Official) -> None:
    """400, 401, 403 and 404 as Losant's client raises them."""
    groups, one = official.client.experience_groups, official.client.experience_group
    await official.refused(groups.post, 400, "Validation", experienceGroup={"name": ""})
    await official.refused(groups.post, 400, "Validation", experienceGroup={"name": "a", "parentId": NOWHERE})
    await official.refused(groups.get, 400, "Validation", sortField="colour")
    await official.refused(groups.get, 400, "Validation", query={"colour": "red"})
    await official.refused(groups.get, 404, "NotFound", applicationId=NOWHERE)
    for call in (one.get, one.delete):
        await official.refused(call, 404, "NotFound", experienceGroupId=NOWHERE)
    await official.refused(one.patch, 404, "NotFound", experienceGroupId=NOWHERE, experienceGroup={"name": "a"})
    official.client.auth_token = "wrong"
    await official.refused(groups.get, 401, "Unauthorized")


async def test_a_scope_that_is_missing(emulator: Emulator, official: Official) -> None:
    """A token that may read may not write."""
    official.client.auth_token = emulator.create_token(scopes=["experienceGroups.get"])
    groups = official.client.experience_groups
    await official(groups.get, PAGE)
    await official.refused(groups.post, 403, "Forbidden", experienceGroup={"name": "a"})


async def test_members_for_losants_client(emulator: Emulator, official: Official) -> None:
    """The lists that a copy needs are where Losant's client looks for them."""
    user = emulator.create_experience_user("a@example.com")
    endpoint = emulator.create_experience_endpoint("get", "/a")
    device = emulator.create_device("a", tags={"k": "v"})
    client = official.client
    for resource, made in (
        (client.experience_users, user),
        (client.experience_endpoints, endpoint),
        (client.devices, device),
    ):
        page = await official(resource.get, {"required": ["items", "totalCount"]})
        assert [item["id"] for item in page["items"]] == [made]
