"""Tokens, scopes, applications and what a data file keeps of them."""

from pathlib import Path

import aiohttp
import pytest

from aiolosant.emulator import Emulator

from .api import Api


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 403),
        ({"Authorization": "Basic eA=="}, 403),
        ({"Authorization": "Bearer"}, 403),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "jwt wrong"}, 401),
    ],
)
async def test_a_token_is_asked_for(api: Api, header: dict[str, str], status: int) -> None:
    """None is a 403, a wrong one a 401; parameters and bodies are looked at before."""
    api.headers = header
    kind = {401: "Unauthorized", 403: "Forbidden"}[status]
    seen, error = await api("GET")
    assert (seen, error["type"]) == (status, kind)
    assert (await api("GET", sortField="colour"))[0] == 400
    assert (await api("POST", json={"colour": "red"}))[0] == 400
    for query in ("null", "[]", '{"colour": 1}'):
        assert (await api("GET", query=query))[0] == 400


async def test_a_token_may_come_in_several_ways(emulator: Emulator, api: Api) -> None:
    """Under two schemes in any case, or as a parameter; it is in no record of a request."""
    for scheme in ("Bearer", "bearer", "JWT", "jwt"):
        api.headers = {"Authorization": f"{scheme} {emulator.token}"}
        assert (await api("GET"))[0] == 200
    api.headers = {}
    assert (await api("GET", access_token=emulator.token))[0] == 200
    assert emulator.token not in repr(emulator.requests)
    assert [request.headers.get("authorization") for request in emulator.requests][1:] == [
        *("bearer ***", "JWT ***", "jwt ***", None)
    ]


async def test_a_file_keeps_the_groups(tmp_path: Path) -> None:
    """What was answered with 201 is there after a restart on the same file, under the same application."""
    data = tmp_path / "groups.db"
    async with Emulator(data=data) as first, aiohttp.ClientSession() as session:
        _, group = await Api(first, session)("POST", json={"name": "kept"})
    async with Emulator(data=data) as second, aiohttp.ClientSession() as session:
        assert second.application_id == first.application_id
        assert (await Api(second, session)("GET", f"/{group['id']}"))[1] == group


READING = ["all.Application.read", "all.Organization.read", "all.User.read"]
ALL = [
    *("all.Application", "all.Organization", "all.User"),
    *("all.Application.bounded", "all.Organization.bounded", "all.User.bounded"),
]


@pytest.mark.parametrize(
    ("method", "allowed"),
    [
        ("LIST", [*ALL, *READING, "experienceGroups.*", "experienceGroups.get"]),
        ("POST", [*ALL, "experienceGroups.*", "experienceGroups.post"]),
        ("GET", [*ALL, *READING, "experienceGroup.*", "experienceGroup.get"]),
        ("PATCH", [*ALL, "experienceGroup.*", "experienceGroup.patch"]),
        ("DELETE", [*ALL, "experienceGroup.*", "experienceGroup.delete"]),
    ],
)
async def test_each_call_has_its_scopes(emulator: Emulator, api: Api, method: str, allowed: list[str]) -> None:
    """A token with one of the documented scopes may, one with any other may not."""
    ours = dict(api.headers)
    verbs = ("*", "get", "post", "patch", "delete")
    resources = [f"{name}.{verb}" for name in ("experienceGroup", "experienceGroups") for verb in verbs]
    for scope in [*ALL, *READING, *resources, "devices.get"]:
        api.headers = ours
        _, group = await api("POST", json={"name": "a"})
        api.headers = {"Authorization": f"Bearer {emulator.create_token(scopes=[scope])}"}
        path = "" if method in ("LIST", "POST") else f"/{group['id']}"
        body = {"name": "b"} if method in ("POST", "PATCH") else None
        status, answer = await api("GET" if method == "LIST" else method, path, json=body)
        assert status == ({"POST": 201}.get(method, 200) if scope in allowed else 403), scope
        assert scope in allowed or answer["type"] == "Forbidden"


async def test_applications_are_worlds_of_their_own(emulator: Emulator, api: Api) -> None:
    """A group of one application is not in another, nor can it be a parent there."""
    other = f"{emulator.url}/applications/{emulator.create_application()}/experience/groups"
    _, group = await api("POST", json={"name": "a"})
    assert (await api("GET", other))[1]["totalCount"] == 0
    assert (await api("GET", f"{other}/{group['id']}"))[0] == 404
    assert (await api("POST", other, json={"name": "b", "parentId": group["id"]}))[0] == 400
    assert (await api("POST", other, json={"name": "b"}))[0] == 201


async def test_a_file_keeps_its_token(tmp_path: Path) -> None:
    """Whoever has the three variables can go on after a restart; a token can be given, if a header can carry it."""
    with pytest.raises(ValueError, match="token must be visible ASCII"):
        Emulator(token="two words")
    data = tmp_path / "groups.db"
    async with Emulator(data=data) as first:
        token = first.token
    async with Emulator(data=data) as second:
        assert second.token == token
    async with Emulator(data=data, token="t0ken") as third:
        assert third.token == "t0ken"
    async with Emulator(data=data) as fourth, aiohttp.ClientSession() as session:
        assert fourth.token == "t0ken"
        api = Api(fourth, session)
        api.headers = {"Authorization": f"Bearer {token}"}
        assert (await api("GET"))[0] == 401  # it was rotated


async def test_a_file_knows_which_application_and_token_came_first(tmp_path: Path) -> None:
    """Whatever their ids, and whichever token was made before another."""
    data = tmp_path / "groups.db"
    with Emulator(data=data, application_id="f" * 24, token="first") as first:
        first.create_application()
        reader = first.create_token(["all.Application.read"])
    with Emulator(data=data, token="second"):
        pass
    async with Emulator(data=data) as third, aiohttp.ClientSession() as session:
        assert (third.application_id, third.token) == ("f" * 24, "second")
        api = Api(third, session)
        api.headers = {"Authorization": f"Bearer {reader}"}
        assert (await api("POST", json={"name": "a"}))[0] == 403
    with pytest.raises(ValueError, match="seed is for a new emulator"):
        Emulator(data=data, seed=1)
