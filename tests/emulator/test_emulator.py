"""The emulator by itself, asked over plain HTTP."""

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from aiolosant.emulator import Emulator, Fault
from tests.samples import sample_object

from .api import Api

NOWHERE = "0" * 24


async def test_the_documented_body_makes_the_documented_group(emulator: Emulator, api: Api) -> None:
    """A create answers 201 with what was sent and what the server adds, in the documented shapes."""
    _, parent = await api("POST", json={"name": "parent"})
    body = sample_object("group_post") | {"parentId": parent["id"]}
    status, group = await api("POST", json=body)
    assert status == 201
    assert {name: group[name] for name in body} == body
    assert group["experienceGroupId"] == group["id"]
    assert group["applicationId"] == emulator.application_id
    assert group["ancestorIds"] == [parent["id"]]
    documented = sample_object("group")
    assert set(group) <= set(documented)
    for name in ("id", "creationDate", "lastUpdated"):
        assert len(group[name]) == len(documented[name])
    assert await api("GET", f"/{group['id']}") == (200, group)
    assert await api("GET", f"/{group['id'].upper()}") == (200, group)


async def test_a_list_answers_all_that_is_documented(emulator: Emulator, api: Api) -> None:
    """The page says what it is; a page past the end is empty."""
    for name in ("b", "a", "c"):
        await api("POST", json={"name": name})
    status, page = await api("GET", perPage="2", page="1", sortDirection="desc", filter="*", filterField="name")
    assert status == 200
    assert set(page) == set(sample_object("groups"))
    assert [group["name"] for group in page.pop("items")] == ["a"]
    assert page.pop("_links")["self"]["href"].startswith("/applications/")
    assert page == {
        "_type": "experienceGroups",
        "count": 1,
        "totalCount": 3,
        "page": 1,
        "perPage": 2,
        "sortField": "name",
        "sortDirection": "desc",
        "filter": "*",
        "filterField": "name",
        "applicationId": emulator.application_id,
    }
    assert (await api("GET", page="7"))[1]["items"] == []
    assert (await api("GET", filter="a"))[1]["totalCount"] == 3  # without a filterField a filter means nothing


async def test_equal_names_have_an_order(api: Api) -> None:
    """Pages of equal sort values neither overlap nor leave gaps."""
    made = [(await api("POST", json={"name": "same"}))[1]["id"] for _ in range(9)]
    pages = [await api("GET", perPage="2", page=str(n)) for n in range(5)]
    assert [group["id"] for _, page in pages for group in page["items"]] == made


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 256},
        {"name": 5},
        {"name": "a", "colour": "red"},
        {"name": "a", "id": NOWHERE},
        {"name": "a", "description": None},
        {"name": "a", "description": "x" * 32768},
        {"name": "a", "deviceIds": ["x"]},
        {"name": "a", "deviceIds": [NOWHERE] * 1001},
        {"name": "a", "deviceIds": [NOWHERE + "\n"]},
        {"name": "a", "groupTags": {"a b": "c"}},
        {"name": "a", "groupTags": {"a": ""}},
        {"name": "a", "groupTags": []},
        {"name": "a", "deviceTags": [{"key": "a", "colour": "red"}]},
        {"name": "a", "deviceTags": [{}] * 101},
        {"name": "a", "deviceQueryJson": "x" * 8193},
        {"name": "a", "parentId": NOWHERE},
        {"name": "a", "parentId": "root"},
        [],
        "a",
        None,
    ],
)
async def test_a_body_that_is_not_documented_is_refused(api: Api, body: Any) -> None:
    """Creates and updates hold the published schemas; errors have Losant's shape."""
    _, group = await api("POST", json={"name": "there"})
    data = json.dumps(body).encode()
    for method, path in (("POST", ""), ("PATCH", f"/{group['id']}")):
        if method == "PATCH" and body == {}:
            continue  # an update may change nothing
        status, error = await api(method, path, data=data)
        assert (status, error["type"]) == (400, "Validation")
        assert error["message"]
        assert set(error) == {"type", "message"}
    assert (await api("GET"))[1]["totalCount"] == 1


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"name": "\\ud800"}', b"NaN"])
async def test_a_body_that_is_no_json_is_refused(api: Api, data: bytes) -> None:
    """Whatever cannot be read is a 400."""
    assert (await api("POST", data=data))[0] == 400


@pytest.mark.parametrize(
    "params",
    [
        {"page": "-1"},
        {"page": "99999999999999999999"},
        {"page": "one"},
        {"perPage": "0"},
        {"perPage": "1001"},
        {"perPage": "ten"},
        {"sortField": "colour"},
        {"sortDirection": "up"},
        {"sortDirection": "ASC"},
        {"sortDirection": ""},
        {"filterField": "id"},
        {"filterField": ""},
        {"filterField": "null"},
        {"query": ""},
        {"query": " "},
        {"query": "null"},
        {"query": "[]"},
    ],
)
async def test_a_value_that_a_parameter_cannot_have_is_refused(api: Api, params: dict[str, str]) -> None:
    """It is a 400; calls that do not declare the parameter read over it."""
    status, error = await api("GET", **params)
    assert (status, error["type"]) == (400, "Validation")
    assert (await api("POST", json={"name": "a"}, **params))[0] == 201


async def test_what_is_not_declared_is_ignored_or_refused_by_a_strict_emulator(api: Api) -> None:
    """As the framework does; strictly, a mistake in a test is found."""
    assert (await api("GET", colour="red"))[0] == 200
    with Emulator(strict=True) as strict:
        status, error = await Api(strict, api.session)("GET", colour="red", shape="round", _links="false")
    assert (status, error["message"]) == (
        400,
        "Query string is not valid: undeclared colour, shape (the emulator is strict)",
    )


@pytest.mark.parametrize(
    ("text", "wanted"), [("true", True), ("1", True), ("yes", True), ("maybe", False), ("", False)]
)
async def test_a_flag_is_true_for_three_texts_and_never_refused(api: Api, text: str, wanted: bool) -> None:
    """`true`, `1` and `yes`; anything else is false."""
    _, group = await api("POST", json={"name": "a"})
    assert ("_links" in (await api("GET", _links=text))[1]) is wanted
    _, counted = await api("GET", f"/{group['id']}", includeDirectDeviceCount=text)
    assert ("directDeviceCount" in counted) is wanted


async def test_paths_and_methods_that_are_not_there(emulator: Emulator, api: Api) -> None:
    """Every error has Losant's shape: no such group, application, path or method, an id that is none."""
    url = emulator.url
    for method, path, expected in [
        ("GET", f"/{NOWHERE}", (404, "NotFound")),
        ("PATCH", f"/{NOWHERE}", (404, "NotFound")),
        ("DELETE", f"/{NOWHERE}", (404, "NotFound")),
        ("GET", "/five", (400, "Validation")),
        ("GET", f"{url}/applications/{NOWHERE}/experience/groups", (404, "NotFound")),
        ("GET", f"{url}/applications/mine/experience/groups", (400, "Validation")),
        ("GET", f"{url}/elsewhere", (405, "MethodNotAllowed")),
        ("GET", f"{url}/applications/{NOWHERE}//experience/groups", (405, "MethodNotAllowed")),
        ("PUT", "", (405, "MethodNotAllowed")),
        ("HEAD", "", (405, None)),
        ("GET", f"{url}/applications/{NOWHERE}/flows", (501, "NotImplemented")),
    ]:
        status, error = await api(method, path, data=b"{}")
        assert (status, error and error["type"]) == expected
    assert (await api("GET", "/"))[0] == 200  # a slash at the end is no matter


async def test_a_body_of_many_megabytes_is_refused(api: Api) -> None:
    """A body larger than any allowed one is not read to its end."""
    status, error = await api("POST", data=io.BytesIO(b" " * (5 << 20)))
    assert (status, error["type"]) == (413, "RequestEntityTooLarge")


async def test_a_deleted_groups_children_go_to_its_parent(api: Api) -> None:
    """Deleting in the middle of a branch shortens it; deleting a root makes roots."""
    _, root = await api("POST", json={"name": "root"})
    _, middle = await api("POST", json={"name": "middle", "parentId": root["id"]})
    _, leaf = await api("POST", json={"name": "leaf", "parentId": middle["id"]})
    assert await api("DELETE", f"/{middle['id']}") == (200, sample_object("success"))
    assert (await api("GET", f"/{leaf['id']}"))[1]["ancestorIds"] == [root["id"]]
    await api("DELETE", f"/{root['id']}")
    _, leaf = await api("GET", f"/{leaf['id']}")
    assert (leaf["parentId"], leaf["ancestorIds"]) == (None, [])


async def test_an_update_replaces_what_it_names(api: Api) -> None:
    """A field is replaced as a whole, `groupTags` too; one that is not named stays; null clears a parent."""
    _, root = await api("POST", json={"name": "root"})
    tags = {"a": "1", "b": "2"}
    _, group = await api("POST", json={"name": "a", "description": "d", "groupTags": tags, "parentId": root["id"]})
    status, changed = await api("PATCH", f"/{group['id']}", json={"groupTags": {"c": "3"}, "parentId": None})
    assert status == 200
    assert changed["lastUpdated"] >= group["lastUpdated"]
    moment = {"lastUpdated": None, "_etag": None}
    assert changed | moment == group | {"groupTags": {"c": "3"}, "parentId": None, "ancestorIds": []} | moment
    for parent in (group["id"],):
        status, error = await api("PATCH", f"/{group['id']}", json={"parentId": parent})
        assert (status, error["type"]) == (400, "Validation")


async def test_the_log_and_the_latency(emulator: Emulator, api: Api) -> None:
    """`requests` has what arrived with what was answered; `latency` delays; `peak_in_flight` counts."""
    emulator.latency = 0.01
    await asyncio.gather(*(api("GET", perPage="5") for _ in range(3)))
    await api("POST", json={"name": ""})
    assert [(r.method, r.query, r.status) for r in emulator.requests] == [("GET", {"perPage": "5"}, 200)] * 3 + [
        ("POST", {}, 400)
    ]
    assert emulator.requests[0].path == f"/applications/{emulator.application_id}/experience/groups"
    assert emulator.peak_in_flight == 3


async def test_a_port_in_use_leaves_nothing_open(emulator: Emulator) -> None:
    """The error is the system's own, and the file is closed."""
    port = int(emulator.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="address already in use"):
        Emulator(port=port).start()


async def test_links_come_unless_they_are_declined(api: Api) -> None:
    """`_links=false` makes answers smaller; type and etag are always there, and an etag changes with its group."""
    _, group = await api("POST", json={"name": "a"})
    path = f"/{group['id']}"
    assert group["_links"]["self"]["href"].endswith(path)
    assert (group["_type"], (await api("GET"))[1]["items"]) == ("experienceGroup", [group])
    _, bare = await api("GET", path, _links="false", _actions="false", _embedded="true")
    assert bare == {name: value for name, value in group.items() if name != "_links"}
    _, page = await api("GET", _links="false")
    assert "_links" not in page
    assert page["items"] == [bare]
    await asyncio.sleep(0.002)
    assert (await api("PATCH", path, json={"name": "b"}))[1]["_etag"] != group["_etag"]


async def test_members_are_listed(emulator: Emulator, api: Api) -> None:
    """Users, endpoints and devices that were seeded, sorted, filtered and paged; of their own application alone."""
    other = emulator.create_application()
    for name in ("b", "a", "c"):
        emulator.create_experience_user(f"{name}@example.com", first_name=name)
        emulator.create_experience_endpoint("get", f"/{name}")
        emulator.create_device(name, tags={"site": name})
    emulator.create_experience_user("d@example.com", application_id=other)
    root = f"{emulator.url}/applications/{emulator.application_id}"
    _, users = await api("GET", f"{root}/experience/users", perPage="2", sortDirection="desc")
    assert [user["email"] for user in users["items"]] == ["c@example.com", "b@example.com"]
    assert (users["totalCount"], users["count"], users["perPage"]) == (3, 2, 2)
    _, endpoints = await api("GET", f"{root}/experience/endpoints", filterField="route", filter="*A")
    assert [(endpoint["method"], endpoint["route"]) for endpoint in endpoints["items"]] == [("get", "/a")]
    _, devices = await api("GET", f"{root}/devices", page="1", perPage="2")
    assert [(device["name"], device["tags"]) for device in devices["items"]] == [("c", [{"key": "site", "value": "c"}])]
    assert (await api("GET", f"{root}/devices", sortField="colour"))[0] == 400
    assert (await api("GET", f"{emulator.url}/applications/{other}/experience/users"))[1]["totalCount"] == 1


async def test_devices_are_counted_by_id_and_by_tag(emulator: Emulator, api: Api) -> None:
    """Each device once, of the group itself or with all below it."""
    north, south = (emulator.create_device(name, tags={"site": name}) for name in ("north", "south"))
    _, root = await api("POST", json={"name": "root", "deviceIds": [north], "deviceTags": [{"value": "north"}]})
    await api("POST", json={"name": "leaf", "parentId": root["id"], "deviceTags": [{"key": "site", "value": "south"}]})
    _, counted = await api("GET", f"/{root['id']}", includeDirectDeviceCount="true", includeTotalDeviceCount="true")
    assert (counted["directDeviceCount"], counted["totalDeviceCount"]) == (1, 2)
    assert south != north


@pytest.mark.parametrize(
    "request_text",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken header\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
    ],
)
async def test_broken_http_is_answered_in_losants_shape(emulator: Emulator, request_text: bytes) -> None:
    """Whatever cannot even be read as a request gets an error with a type and a message."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(emulator.url.rsplit(":", 1)[1]))
    writer.write(request_text)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert set(json.loads(body)) == {"type", "message"}


async def test_a_query_that_is_too_much_for_the_emulator_is_a_400(api: Api) -> None:
    """Losant's schema has no limit of depth; the emulator's database has, and says so."""
    deep: Any = {"name": "a"}
    for _ in range(25):
        deep = {"$nor": [deep]}
    for query in (deep, {"creationDate": {"$lt": 10**400}}, {"creationDate": -(10**400)}):
        status, answer = await api("GET", query=json.dumps(query))
        assert status == (400 if query is deep else 200), answer


async def test_an_empty_query_or_a_blank_filter_is_none(api: Api) -> None:
    """They filter nothing, and a query overrides a filter even so."""
    await api("POST", json={"name": "a"})
    assert (await api("GET", query="{}"))[1]["totalCount"] == 1
    assert (await api("GET", query="{}", filterField="name", filter="b"))[1]["totalCount"] == 1
    assert (await api("GET", filterField="name", filter=""))[1]["totalCount"] == 1


async def test_no_group_gets_too_deep_by_a_move(emulator: Emulator, api: Api) -> None:
    """A thousand ancestors at the most, whether a group is made, moved or seeded."""

    def chain(name: str, length: int) -> list[dict[str, str]]:
        return [
            {"id": f"{name}{n}", "name": name} | ({"parentId": f"{name}{n - 1}"} if n else {}) for n in range(length)
        ]

    ids = emulator.create_groups([*chain("a", 600), *chain("b", 402)])
    refused, answer = await api("PATCH", f"/{ids['b0']}", json={"parentId": ids["a599"]})
    assert (refused, "more than 1000 ancestors" in answer["message"]) == (400, True)
    assert (await api("PATCH", f"/{ids['b1']}", json={"parentId": ids["a599"]}))[0] == 200
    with pytest.raises(ValueError, match="more than 1000 ancestors"):
        emulator.create_groups(chain("c", 1002))
    with pytest.raises(ValueError, match="more than 1000 ancestors"):
        emulator.create_groups([{"name": "d", "parentId": ids["b401"]}])
    emulator.create_groups(chain("c", 1001))


async def test_the_application_and_oneself_are_answered(emulator: Emulator, api: Api) -> None:
    """What Losant has and the emulator lacks names the emulator, so that nobody takes it for Losant's answer."""
    root = f"{emulator.url}/applications/{emulator.application_id}"
    status, application = await api("GET", root)
    assert (status, application["id"]) == (200, emulator.application_id)
    assert (await api("GET", f"{emulator.url}/me"))[0] == 200
    status, answer = await api("GET", f"{root}/flows")
    assert (status, answer["message"][:38]) == (501, "The emulator of aiolosant does not hav")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda emulator: emulator.inject(Fault.SILENCE, method="FETCH"), ValueError, "method must be one of"),
        (lambda emulator: emulator.inject(Fault.SILENCE, times="2"), ValueError, "times must be 1 or more"),
        (lambda emulator: emulator.inject_random({"x": 0.5}), TypeError, "mapping from Faults"),
        (lambda emulator: emulator.inject_random(0.1), TypeError, "mapping from Faults"),
        (lambda emulator: emulator.create_token("all.Application"), TypeError, "scopes must be several texts"),
        (lambda emulator: emulator.create_groups({"name": "x"}), TypeError, r"records\[0\] must be a mapping"),
        (lambda emulator: emulator.create_groups([{"name": "x", "nam": 1}]), ValueError, "that no group has: nam"),
        (lambda emulator: emulator.create_groups([], application_id=NOWHERE), ValueError, "there is no application"),
        (lambda emulator: emulator.inject(Fault.SILENCE, path="users"), ValueError, "path must be a glob"),
        (lambda emulator: emulator.restore("x"), TypeError, "what snapshot"),
        (lambda emulator: setattr(emulator, "staleness", -1), ValueError, "staleness must be seconds"),
        (lambda emulator: setattr(emulator, "staleness", 1e17), ValueError, "staleness must be seconds"),
        (lambda emulator: setattr(emulator, "latency", "x"), ValueError, "latency must be a number, 0 or more"),
        (lambda emulator: setattr(emulator, "rate_limit", 0), ValueError, "rate_limit must be a number, 0.001 or more"),
        (lambda emulator: setattr(emulator, "before_request", 3), TypeError, "before_request must be a function"),
        (lambda emulator: emulator.revoke_token("x"), ValueError, "there is no such token"),
        (lambda emulator: emulator.update_group(NOWHERE, {"name": "x"}), ValueError, "there is no group"),
        (lambda emulator: emulator.update_group(NOWHERE, {"nope": 1}), ValueError, "nope"),
        (lambda emulator: emulator.delete_group(NOWHERE), ValueError, "there is no group"),
        (lambda emulator: emulator.create_experience_user("noat"), ValueError, "email must be an address"),
        (lambda emulator: emulator.create_experience_endpoint("fetch", "/"), ValueError, "method must be one of"),
        (lambda emulator: emulator.create_groups([{}]), ValueError, "a record without id and name"),
        (lambda emulator: emulator.create_groups([{"name": "x", "parentId": []}]), TypeError, r"records\[0\].parentId"),
        (lambda emulator: emulator.create_groups([{"name": "x", "parentId": 5}]), ValueError, "5 is no group"),
        (
            lambda emulator: emulator.create_groups([{"id": NOWHERE, "name": "x", "creationDate": 5}], keep_ids=True),
            ValueError,
            "creationDate must be a date",
        ),
    ],
)
async def test_mistakes_in_a_test_are_told(
    emulator: Emulator, call: Callable[[Any], object], kind: type[Exception], message: str
) -> None:
    """A fault that never comes would make a test pass for nothing."""
    with pytest.raises(kind, match=message):
        call(emulator)


async def test_the_case_of_a_method_means_nothing(emulator: Emulator, api: Api) -> None:
    """As in HTTP clients."""
    emulator.inject(Fault.SERVER_ERROR, method="post")
    assert (await api("POST", json={"name": "a"}))[0] == 500
