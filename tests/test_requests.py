"""The door to the rest of the API."""

from enum import Enum
from typing import Any

import pytest

from aiolosant import (
    LosantClient,
    NewExperienceGroup,
    NotFoundError,
    OutcomeUnknownError,
    Q,
    RetryPolicy,
    TransportError,
)
from aiolosant.emulator import Emulator, Fault

from .conftest import client_of
from .servers import answer, raw_server

OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json"


KNOT: list[Any] = []
KNOT.append(KNOT)


@pytest.fixture
def path(emulator: Emulator) -> str:
    return f"/applications/{emulator.application_id}/experience/groups"


async def test_any_call_is_answered_as_json(losant: LosantClient, path: str) -> None:
    """Any method, with parameters and a body; errors are those of every other call."""
    group = await losant.request("POST", path, json={"name": "a", "deviceIds": ["1" * 24]})
    one = f"{path}/{group['id']}"
    counted = await losant.request("get", one, params={"includeDirectDeviceCount": True, "_links": "false"})
    assert counted["directDeviceCount"] == 1
    assert (await losant.request("PATCH", one, json={"name": "b"}))["name"] == "b"
    assert await losant.request("DELETE", one) == {"success": True}
    with pytest.raises(NotFoundError):
        await losant.request("GET", one)


async def test_any_list_is_walked_as_dicts(emulator: Emulator, losant: LosantClient, path: str) -> None:
    """Lazily, page by page, with parameters, from a page on, and with look-ahead."""
    for n in range(25):
        await losant.request("POST", path, json={"name": f"{n:02}"})
    emulator.requests.clear()
    names = losant.paginate(path, params={"sortField": "name", "sortDirection": "desc"}, per_page=10)
    assert emulator.requests == []
    assert [item["name"] async for item in names] == [f"{n:02}" for n in reversed(range(25))]
    assert len(emulator.requests) == 3
    some = await losant.paginate(path, per_page=5, start_page=4, prefetch=2).to_list()
    assert [item["name"] for item in some] == ["20", "21", "22", "23", "24"]
    assert await losant.paginate(path).count() == 25
    first = await losant.paginate(path, params={"filterField": "name", "filter": "1*"}).first()
    assert first is not None
    assert first["name"] == "10"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
async def test_what_may_be_sent_again_is(emulator: Emulator, method: str) -> None:
    """GET, HEAD, PUT and DELETE are resent when in doubt; a POST or PATCH raises what nobody knows."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, times=9)
    policy = RetryPolicy(max_attempts=3, first_delay=0)
    again = method in ("GET", "HEAD", "PUT", "DELETE")
    async with client_of(emulator, retry=policy) as losant:
        with pytest.raises(TransportError if again else OutcomeUnknownError):
            await losant.request(method, "/anything", json={"a": 1} if method in ("PUT", "POST", "PATCH") else None)
    assert len(emulator.requests) == (3 if again else 1)


async def test_an_answer_without_a_body_is_none() -> None:
    """Such as a 204."""
    nothing = answer("HTTP/1.1 204 No Content", length=-1)
    async with raw_server(nothing) as server, LosantClient("t", base_url=server.url) as losant:
        assert await losant.request("PUT", "/anything", json=[]) is None


@pytest.mark.parametrize(
    "path", ["", "applications", "//example.com/", "/a?b=c", "/a#b", "/a\\b", "/../a", "/%2e%2e/a", "/a/./b", "/a\n"]
)
async def test_a_path_is_a_plain_path(losant: LosantClient, emulator: Emulator, path: str) -> None:
    """It starts with exactly one slash and cannot lead elsewhere; parameters go where they belong."""
    with pytest.raises(ValueError, match="path must"):
        await losant.request("GET", path)
    with pytest.raises(ValueError, match="path must"):
        losant.paginate(path)
    with pytest.raises(ValueError, match="must not have perPage"):
        losant.paginate("/a", params={"perPage": 5})
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"method": "FETCH"}, ValueError, "method must be one of"),
        ({"method": 5}, TypeError, "method must be text"),
        ({"path": 5}, TypeError, "path must be text"),
        ({"params": "a=b"}, TypeError, "params must be a mapping"),
        ({"params": {"a": None}}, TypeError, r"params\['a'\] must be text, a number or a boolean"),
        ({"params": {5: "a"}}, TypeError, "a key of params must be text, not int"),
        ({"params": {"a": "\ud800"}}, ValueError, r"params\['a'\] is no valid Unicode text"),
        ({"params": {"a": float("nan")}}, ValueError, r"params\['a'\] must be finite, not nan"),
        ({"path": "/\udfff"}, ValueError, "path is no valid Unicode text"),
        ({"json": object()}, TypeError, "json cannot be written as JSON: object has no form in JSON"),
        ({"json": {"a": [float("inf")]}}, ValueError, "json cannot be written as JSON: Out of range float"),
        ({"json": KNOT}, ValueError, "json cannot be written as JSON"),
    ],
)
async def test_wrong_arguments_are_refused(
    losant: LosantClient, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """Before anything is sent, by their names."""
    with pytest.raises(kind, match=message):
        await losant.request(**{"method": "GET", "path": "/", **arguments})


class Word(str, Enum):  # noqa: UP042 - a StrEnum has the right `str()` already
    """What an application has for its constants; `str()` of one is `Word.GET`."""

    GET = "GET"
    SORT_FIELD = "sortField"
    BY_ID = "id"
    DESCENDING = "desc"
    NAME = "my group"


class Disguised(str):
    """Text like a member of an enumeration, of a value that only the test knows."""

    __slots__ = ()

    def __str__(self) -> str:
        return "disguised"

    __format__ = object.__format__


class Number(int, Enum):
    TEN = 10


async def test_text_of_any_class_is_sent_by_its_value(emulator: Emulator) -> None:
    """In tokens, ids, paths and parameters: never as `Word.GET`."""
    token, application = Disguised(emulator.token), Disguised(emulator.application_id)
    async with client_of(emulator, token=token, application_id=application) as losant:
        groups = losant.experience_groups
        made = await groups.create(NewExperienceGroup(Word.NAME))
        await groups.list(sort_field=Word.BY_ID, sort_direction=Word.DESCENDING, filter=Word.NAME).first()  # type: ignore[arg-type]
        assert await groups.scan(query=Q.name == Word.NAME).to_list() == [made]
        path = Disguised(f"/applications/{emulator.application_id}/experience/groups")
        await losant.request(Word.GET, path, params={Word.SORT_FIELD: Word.BY_ID, "perPage": Number.TEN})
    assert [request.status for request in emulator.requests] == [201, 200, 200, 200]
    assert emulator.requests[1].query["filter"] == "my group"
    assert emulator.requests[3].query["perPage"] == "10"
