"""Users, endpoints and devices, and in which groups they are, told from either side."""

import json
from typing import Any

import pytest

from aiolosant.emulator import Emulator

from .api import Api

USER = {"email": "ann@example.com", "password": "long enough"}


@pytest.fixture
def root(emulator: Emulator) -> str:
    return f"{emulator.url}/applications/{emulator.application_id}"


async def test_a_user_is_put_into_groups_as_a_whole_list(emulator: Emulator, api: Api, root: str) -> None:
    """By a create and by an update; groups and user tell the same."""
    above = emulator.create_groups([{"id": "1", "name": "A"}, {"id": "2", "name": "B", "parentId": "1"}])
    a, b = above["1"], above["2"]
    status, user = await api("POST", f"{root}/experience/users", json=USER | {"experienceGroupIds": [a, b]})
    assert (status, "password" in user) == (201, False)
    assert user["experienceGroups"] == [
        {"id": a, "name": "A", "parentId": None},
        {"id": b, "name": "B", "parentId": a},
    ]
    assert [group["experienceUserIds"] for group in emulator.groups()] == [[user["id"]], [user["id"]]]
    path = f"{root}/experience/users/{user['id']}"
    _, changed = await api("PATCH", path, json={"experienceGroupIds": [b.upper()], "firstName": "Ann"})
    assert ([group["id"] for group in changed["experienceGroups"]], changed["firstName"]) == ([b], "Ann")
    assert [group["experienceUserIds"] for group in emulator.groups()] == [[], [user["id"]]]
    emulator.update_group(a, {"experienceUserIds": [user["id"].upper()]})  # the other way round
    assert [group["id"] for group in (await api("GET", path))[1]["experienceGroups"]] == [a, b]
    assert (await api("DELETE", path)) == (200, {"success": True})
    assert [group["experienceUserIds"] for group in emulator.groups()] == [[], []]
    assert (await api("GET", path))[0] == 404


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"email": "no address"}, "email"),
        ({"password": "short"}, "password"),
        ({"experienceGroupIds": ["f" * 24]}, "are no groups of this application"),
        ({"email": "BOB@example.com"}, "is another user's"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_user_that_cannot_be_is_refused_as_a_whole(
    emulator: Emulator, api: Api, root: str, change: dict[str, Any], complaint: str
) -> None:
    """Nothing of it is made."""
    emulator.create_experience_user("bob@example.com")
    status, error = await api("POST", f"{root}/experience/users", json=USER | change)
    assert (status, complaint in error["message"]) == (400, True)
    assert (await api("GET", f"{root}/experience/users"))[1]["totalCount"] == 1


async def test_users_are_asked_for_by_group_and_by_query(emulator: Emulator, api: Api, root: str) -> None:
    """Of one group, with its ancestors, of any and of none; a query overrides the rest."""
    ann, bob, cyd = (emulator.create_experience_user(f"{name}@example.com", first_name=name) for name in "abc")
    ids = emulator.create_groups(
        [
            {"id": "1", "name": "A", "experienceUserIds": [ann]},
            {"id": "2", "name": "B", "parentId": "1", "experienceUserIds": [bob]},
        ]
    )

    async def found(**params: str) -> list[str]:
        return [user["id"] for user in (await api("GET", f"{root}/experience/users", **params))[1]["items"]]

    assert await found(experienceGroupId=ids["2"]) == [bob]
    assert await found(experienceGroupId=ids["2"], includeAncestorGroups="true") == [ann, bob]
    assert await found(experienceGroupId="any") == [ann, bob]
    assert await found(experienceGroupId="none") == [cyd]
    assert await found(query=json.dumps({"experienceGroupId": ids["1"]}), experienceGroupId="none") == [ann]
    assert await found(query=json.dumps({"experienceGroupId": None})) == [cyd]
    assert await found(query=json.dumps({"firstName": {"$in": ["b", "c"]}}), sortDirection="desc") == [cyd, bob]
    assert await found(query=json.dumps({"lastLogin": None, "email": {"$startsWith": "A", "$ci": True}})) == [ann]
    assert (await api("GET", f"{root}/experience/users", experienceGroupId="all"))[0] == 400


async def test_endpoints_come_without_pages(emulator: Emulator, api: Api, root: str) -> None:
    """`page` is not declared for them; one version is there; methods are in lower case."""
    for n in range(120):
        emulator.create_experience_endpoint("GET", f"/{n:03}")
    _, listed = await api("GET", f"{root}/experience/endpoints", page="1", perPage="5", sortField="route")
    assert (listed["count"], listed["totalCount"], "page" in listed) == (120, 120, False)
    assert listed["items"][0]["method"] == "get"
    assert (await api("GET", f"{root}/experience/endpoints", version="v1"))[1]["count"] == 0
    group = emulator.create_groups([{"name": "A"}]).popitem()[1]
    new = {"method": "post", "route": "/new", "experienceGroupIds": [group]}
    status, made = await api("POST", f"{root}/experience/endpoints", json=new)
    assert (status, made["access"], made["experienceGroups"][0]["id"]) == (201, "public", group)
    _, own = await api("GET", f"{root}/experience/endpoints", experienceGroupId=group)
    assert [endpoint["id"] for endpoint in own["items"]] == [made["id"]]
    path = f"{root}/experience/endpoints/{made['id']}"
    assert (await api("PATCH", path, json={"enabled": False}))[1]["enabled"] is False
    assert (await api("PATCH", path, json={"method": "GET"}))[0] == 400
    assert (await api("DELETE", path))[0] == 200
    assert emulator.groups()[0]["experienceEndpointIds"] == []


async def test_devices_are_asked_for_by_group_user_and_tag(emulator: Emulator, api: Api, root: str) -> None:
    """A device is in a group by its id or by a tag; users of a group have those of all below it."""
    user = emulator.create_experience_user("ann@example.com")
    pump, fan, _lamp = (emulator.create_device(name, tags={"site": name}) for name in ("pump", "fan", "lamp"))
    ids = emulator.create_groups(
        [
            {"id": "1", "name": "A", "deviceIds": [pump], "experienceUserIds": [user]},
            {"id": "2", "name": "B", "parentId": "1", "deviceTags": [{"key": "site", "value": "fan"}]},
        ]
    )

    async def found(**params: str) -> list[str]:
        return [device["name"] for device in (await api("GET", f"{root}/devices", **params))[1]["items"]]

    assert await found(query=json.dumps({"experienceGroupId": ids["1"]})) == ["pump"]
    assert await found(query=json.dumps({"experienceGroupId": {"$in": list(ids.values())}})) == ["fan", "pump"]
    assert await found(query=json.dumps({"experienceGroupId": None})) == ["lamp"]
    assert await found(query=json.dumps({"experienceUserId": user})) == ["fan", "pump"]
    assert await found(query=json.dumps({"experienceUserId": None})) == ["lamp"]
    assert await found(query=json.dumps({"tags": {"$tagKey": "site", "$tagValue": "fan"}})) == ["fan"]
    assert await found(query='{"$nor": []}') == []
    assert await found(tagFilter='[{"key": "site", "value": "lamp"}]') == ["lamp"]
    flattened = {"tagFilter[0][key]": "site", "tagFilter[0][value]": "lamp"}  # as Losant's own clients send it
    assert await found(**flattened) == ["lamp"]
    assert await found(deviceClass='["gateway"]') == []
    assert await found(queryDeleted="true") == []
    _, shown = await api("GET", f"{root}/devices/{fan}", tagsAsObject="1", attributesAsObject="1")
    assert (shown["tags"], shown["attributes"]) == ({"site": ["fan"]}, {})
    status, error = await api("GET", f"{root}/devices", query='{"deviceClass": "gateway"}')
    assert (status, "emulator" in error["message"]) == (501, True)


SEEDED = [
    ("GET", "experience/groups"),
    ("GET", "experience/groups/{group}"),
    ("GET", "experience/users"),
    ("GET", "experience/users/{user}"),
    ("GET", "experience/endpoints"),
    ("GET", "experience/endpoints/{endpoint}"),
    ("GET", "devices"),
    ("GET", "devices/{device}"),
]
DOCUMENTED = {
    "experience/groups": {
        "sortField": "lastUpdated",
        "sortDirection": "desc",
        "page": "0",
        "perPage": "5",
        "filterField": "name",
        "filter": "*",
    },
    "experience/groups/{group}": {"includeDirectDeviceCount": "true", "includeTotalDeviceCount": "true"},
    "experience/users": {
        "sortField": "lastLogin",
        "sortDirection": "desc",
        "page": "0",
        "perPage": "5",
        "filterField": "lastName",
        "filter": "*",
        "experienceGroupId": "any",
        "includeAncestorGroups": "true",
    },
    "experience/endpoints": {
        "sortField": "requestCount",
        "sortDirection": "desc",
        "filterField": "route",
        "filter": "*",
        "experienceGroupId": "f" * 24,
        "requestCountDuration": "1000",
        "version": "develop",
    },
    "experience/endpoints/{endpoint}": {"version": "develop"},
    "devices": {
        "sortField": "connectionStatus",
        "sortDirection": "desc",
        "page": "0",
        "perPage": "5",
        "filterField": "name",
        "filter": "*",
        "deviceClass": "standalone",
        "tagFilter": "[]",
        "excludeConnectionInfo": "true",
        "parentId": "f" * 24,
        "tagsAsObject": "true",
        "attributesAsObject": "true",
        "queryDeleted": "false",
    },
    "devices/{device}": {"excludeConnectionInfo": "true", "tagsAsObject": "true", "attributesAsObject": "true"},
}


@pytest.mark.parametrize(("method", "path"), SEEDED)
async def test_every_documented_parameter_is_taken(api: Api, method: str, path: str) -> None:
    """By a strict emulator, one by one and all together, with those of every call."""
    with Emulator(strict=True) as strict:
        ids = {
            "group": strict.create_groups([{"name": "A"}]).popitem()[1],
            "user": strict.create_experience_user("a@example.com"),
            "endpoint": strict.create_experience_endpoint("get", "/"),
            "device": strict.create_device("pump"),
        }
        api = Api(strict, api.session)
        url = f"{strict.url}/applications/{strict.application_id}/{path.format(**ids)}"
        everywhere = {"_actions": "false", "_links": "true", "_embedded": "true"}
        documented = DOCUMENTED.get(path, {})
        for params in [{}, *({name: value} for name, value in documented.items()), documented | everywhere]:
            status, answer = await api(method, url, **params)
            assert status == 200, (params, answer)


async def test_a_user_who_does_not_fit_into_a_group_is_not_made(emulator: Emulator, api: Api) -> None:
    """What is refused is not half done."""
    users = [f"{n:024x}" for n in range(1000)]
    (group,) = emulator.create_groups([{"name": "Full", "experienceUserIds": users}]).values()
    url = f"{emulator.url}/applications/{emulator.application_id}/experience/users"
    user = {"email": "ann@example.com", "password": "a long one", "experienceGroupIds": [group]}
    status, answer = await api("POST", url, json=user)
    assert (status, answer["message"]) == (400, f"group {group} would have more than 1000 members")
    assert (await api("GET", url))[1]["totalCount"] == 0
