"""Members and tags: nobody's are lost, whoever adds and removes at the same time. Counted on the server's side."""

import asyncio
import gc
from typing import Any

import pytest

from aiolosant import (
    BadRequestError,
    ConfigurationError,
    LosantClient,
    LosantError,
    NotFoundError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
)
from aiolosant._batch.members import GroupEditors, tag_wishes
from aiolosant.emulator import Emulator, Fault, RequestRecord
from aiolosant.groups import parts_of

from .conftest import client_of

QUICK = RetryPolicy(first_delay=0.01, settle_time=0.1, max_attempts=8)
FAULTS = {Fault.UNAVAILABLE: 0.1, Fault.CUT_AFTER_WRITE: 0.08, Fault.CUT_BEFORE_WRITE: 0.07}


def user(n: int) -> str:
    return f"{n:024x}"


def patches(emulator: Emulator) -> int:
    return sum(request.method == "PATCH" for request in emulator.requests)


def users_of(emulator: Emulator) -> set[str]:
    (group,) = emulator.groups()
    assert len(group["experienceUserIds"]) == len(set(group["experienceUserIds"]))
    return set(group["experienceUserIds"])


@pytest.fixture
def group(emulator: Emulator) -> str:
    (group_id,) = emulator.create_groups([{"name": "Acme", "groupTags": {"externalId": "1"}}]).values()
    return group_id


@pytest.mark.parametrize("chances", [{}, FAULTS])
async def test_a_hundred_and_fifty_calls_of_one_client_share_patches(
    emulator: Emulator, group: str, chances: dict[Fault, float]
) -> None:
    """All are there, in a handful of writes, and each caller has seen its own."""
    emulator.latency = 0.005
    emulator.inject_random(chances, seed=1)
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        seen = await asyncio.gather(*(groups.add_members(group, experience_user_ids=[user(n)]) for n in range(150)))
    assert all(user(n) in read.experience_user_ids for n, read in enumerate(seen))
    assert users_of(emulator) == {user(n) for n in range(150)}
    assert patches(emulator) <= 30


@pytest.mark.parametrize("chances", [{}, FAULTS])
async def test_two_clients_at_once_lose_nobody(emulator: Emulator, group: str, chances: dict[Fault, float]) -> None:
    """Sixty each, in waves, so that they overwrite each other's lists."""
    emulator.latency = 0.01
    emulator.inject_random(chances, seed=2)

    async def add(losant: LosantClient, n: int) -> None:
        await asyncio.sleep(n % 7 * 0.013)
        await losant.experience_groups.add_members(group, experience_user_ids=[user(n)])

    async with client_of(emulator, retry=QUICK) as one, client_of(emulator, retry=QUICK) as other:
        await asyncio.gather(*(add((one, other)[n % 2], n) for n in range(120)))
    assert users_of(emulator) == {user(n) for n in range(120)}


@pytest.mark.parametrize("chances", [{}, FAULTS])
async def test_adding_and_removing_at_once(emulator: Emulator, group: str, chances: dict[Fault, float]) -> None:
    """By two clients: one puts in, the other takes out, of all kinds and tags."""
    emulator.update_group(group, {"experienceUserIds": [user(n) for n in range(50)], "deviceIds": [user(7)]})
    emulator.latency = 0.005
    emulator.inject_random(chances, seed=3)
    async with client_of(emulator, retry=QUICK) as one, client_of(emulator, retry=QUICK) as other:
        add, remove = one.experience_groups, other.experience_groups
        await asyncio.gather(
            *(remove.remove_members(group, experience_user_ids=[user(n)]) for n in range(50)),
            *(add.add_members(group, experience_user_ids=[user(n)], device_ids=[user(n)]) for n in range(50, 100)),
            remove.remove_members(group, device_ids=[user(7)]),
            add.add_tags(group, {"region": "eu"}),
            remove.remove_tags(group, ["old"]),
        )
    (there,) = emulator.groups()
    assert users_of(emulator) == set(there["deviceIds"]) == {user(n) for n in range(50, 100)}
    assert there["groupTags"] == {"externalId": "1", "region": "eu"}


async def test_what_is_there_already_is_not_patched(emulator: Emulator, losant: LosantClient, group: str) -> None:
    """One reading, whatever the case of an id; and no wait."""
    emulator.update_group(group, {"deviceIds": ["A" * 24], "groupTags": {"a": "1"}})
    groups = losant.experience_groups
    assert (await groups.add_members(group, device_ids=["a" * 24])).device_ids == ("A" * 24,)
    await groups.remove_members(group, experience_user_ids=[user(1)])
    await groups.add_tags(group, {"a": "1"})
    await groups.remove_tags(group, ["b"])
    assert (await groups.add_members(group)).name == "Acme"
    assert [request.method for request in emulator.requests] == ["GET"] * 5


async def test_others_and_their_order_stay(emulator: Emulator, group: str) -> None:
    """Lists keep their order; another field is not written at all."""
    emulator.update_group(group, {"deviceIds": [user(3), user(1), user(2)]})
    async with client_of(emulator, retry=QUICK) as losant:
        await losant.experience_groups.remove_members(group, device_ids=[user(1)])
        read = await losant.experience_groups.add_members(group, device_ids=[user(0)])
    assert read.device_ids == (user(3), user(2), user(0))
    bodies = [request.body for request in emulator.requests if request.method == "PATCH"]
    assert all(body.startswith(b'{"deviceIds":') for body in bodies)


async def test_of_two_calls_that_contradict_each_other_the_later_one_holds(emulator: Emulator, group: str) -> None:
    """And neither waits for what the other undoes."""
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        await asyncio.gather(
            groups.add_members(group, device_ids=[user(1), user(2)]),
            groups.remove_members(group, device_ids=[user(1)]),
            groups.add_tags(group, {"a": "1"}),
            groups.add_tags(group, {"a": "2"}),
        )
    (there,) = emulator.groups()
    assert (there["deviceIds"], there["groupTags"]["a"]) == ([user(2)], "2")


async def test_what_another_writer_undoes_is_written_again(emulator: Emulator, group: str) -> None:
    """It is looked for `settle_time` after it was written."""
    undone = 0

    def undo(request: RequestRecord) -> None:
        nonlocal undone
        if request.method == "GET" and patches(emulator) > undone and undone < 2:
            undone += 1
            emulator.update_group(group, {"experienceUserIds": []})

    emulator.before_request = undo
    async with client_of(emulator, retry=QUICK) as losant:
        await losant.experience_groups.add_members(group, experience_user_ids=[user(1)])
    assert (undone, patches(emulator), users_of(emulator)) == (2, 3, {user(1)})


async def test_what_does_not_hold_in_time_says_what_is_missing(emulator: Emulator, group: str) -> None:
    """Somebody undoes it again and again."""

    def undo(request: RequestRecord) -> None:
        if request.method == "GET":
            emulator.update_group(group, {"experienceUserIds": []})

    emulator.before_request = undo
    async with client_of(emulator, retry=QUICK, timeout=0.6) as losant:
        with pytest.raises(RequestTimeoutError, match=f"the group did not have: {user(1)} in experience_user_ids"):
            await losant.experience_groups.add_members(group, experience_user_ids=[user(1)])


async def test_a_time_that_is_too_short_for_a_second_look_is_refused(emulator: Emulator, group: str) -> None:
    """No call could ever end well; and of clients that share all else each has its own time."""
    async with client_of(emulator, retry=QUICK) as losant:
        with pytest.raises(ConfigurationError, match="leaves no time to look again after settle_time"):
            await losant.with_options(timeout=0.1).experience_groups.add_tags(group, {"a": "1"})
        emulator.inject(Fault.SILENCE, method="PATCH")
        hasty, patient = losant.with_options(timeout=0.3), losant.with_options(timeout=30)
        ended = await asyncio.gather(
            hasty.experience_groups.add_tags(group, {"a": "1"}),
            patient.experience_groups.add_tags(group, {"b": "1"}),
            return_exceptions=True,
        )
    assert isinstance(ended[0], RequestTimeoutError)
    assert not isinstance(ended[1], BaseException)


async def test_one_call_that_is_refused_fails_no_other(emulator: Emulator, group: str) -> None:
    """Of many calls that share a write those that the server takes are done."""
    emulator.update_group(group, {"deviceIds": [user(n) for n in range(990)]})
    emulator.latency = 0.005

    def refuse(request: RequestRecord) -> None:
        if request.method == "PATCH" and user(2000).encode() in request.body:
            raise ValueError("this user is locked")

    emulator.before_request = refuse
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        numbers = [2000 if n == 5 else n for n in range(20)]
        ended: list[Any] = await asyncio.gather(
            *(groups.add_members(group, experience_user_ids=[user(n)]) for n in numbers),
            groups.add_members(group, device_ids=[user(n) for n in range(1000, 1020)]),
            return_exceptions=True,
        )
    assert [type(one) for one in ended if isinstance(one, Exception)] == [BadRequestError, ValueError]
    assert "at most 1000 items" in str(ended[-1])
    assert users_of(emulator) == {user(n) for n in range(20) if n != 5}


async def test_a_group_that_is_not_there_fails_all_that_ask(emulator: Emulator, losant: LosantClient) -> None:
    """Each with an error of its own."""
    ended: list[Any] = await asyncio.gather(
        *(losant.experience_groups.add_tags("f" * 24, {"a": str(n)}) for n in range(3)), return_exceptions=True
    )
    assert [type(error) for error in ended] == [NotFoundError] * 3
    assert len(set(map(id, ended))) == 3


async def test_a_server_that_always_fails_at_writing_is_told(emulator: Emulator, group: str) -> None:
    """After as many attempts as there are, with its own words."""
    emulator.inject(Fault.SERVER_ERROR, times=None, method="PATCH")
    async with client_of(emulator, retry=RetryPolicy(first_delay=0.01, settle_time=0.05, max_attempts=3)) as losant:
        with pytest.raises(ServerError, match="500 InternalServerError"):
            await losant.experience_groups.add_tags(group, {"a": "1"})
    assert patches(emulator) == 3


async def test_a_lost_answer_is_followed_by_a_reading(emulator: Emulator, group: str) -> None:
    """What others wrote between two attempts is not overwritten."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, method="PATCH")

    def write(request: RequestRecord) -> None:
        if patches(emulator) == 1 and request.method == "GET":
            emulator.update_group(group, {"deviceIds": [user(9)]})

    emulator.before_request = write
    async with client_of(emulator, retry=QUICK) as losant:
        read = await losant.experience_groups.add_members(group, device_ids=[user(1)])
    assert read.device_ids == (user(9), user(1))


async def test_cancelling_one_call_does_not_stop_the_others(emulator: Emulator, group: str) -> None:
    """The others go on; when nobody is left, nothing is."""
    emulator.latency = 0.02
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        calls = [asyncio.create_task(groups.add_members(group, device_ids=[user(n)])) for n in range(3)]
        while not emulator.requests:
            await asyncio.sleep(0.001)
        calls[0].cancel()
        assert (await calls[1]).device_ids
        await calls[2]
        alone = asyncio.create_task(groups.add_members(group, device_ids=[user(5)]))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.wait({alone})
    assert {user(1), user(2)} <= set(emulator.groups()[0]["deviceIds"]) <= {user(0), user(1), user(2)}


async def test_closing_the_client_ends_what_waits(emulator: Emulator, group: str) -> None:
    """Without waiting for the look."""
    losant = client_of(emulator, retry=RetryPolicy(settle_time=3600), timeout=7200)
    call = asyncio.create_task(losant.experience_groups.add_tags(group, {"a": "1"}))
    while not patches(emulator):
        await asyncio.sleep(0.001)
    await losant.close()
    with pytest.raises(ConfigurationError, match="the client was closed"):
        await call


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda groups: groups.add_members("x"), ValueError, "group_id must be 24 hex digits"),
        (lambda groups: groups.add_members("f" * 24, device_ids="a" * 24), TypeError, "device_ids must be several"),
        (lambda groups: groups.add_members("f" * 24, device_ids=["x"]), ValueError, r"device_ids\[0\] must be 24"),
        (lambda groups: groups.remove_members("f" * 24, device_ids=[5]), TypeError, r"device_ids\[0\] must be text"),
        (lambda groups: groups.add_tags("f" * 24, ["a"]), TypeError, "group_tags must be a mapping"),
        (lambda groups: groups.add_tags("f" * 24, {"a b": "c"}), ValueError, "a key of group_tags"),
        (lambda groups: groups.remove_tags("f" * 24, "a"), TypeError, "keys must be several texts"),
        (lambda groups: groups.remove_tags("f" * 24, ["a b"]), ValueError, "a key must"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_sent(
    emulator: Emulator, losant: LosantClient, call: Any, kind: type[Exception], message: str
) -> None:
    """The message names the argument."""
    with pytest.raises(kind, match=message) as caught:
        await call(losant.experience_groups)
    assert not isinstance(caught.value, LosantError)
    assert emulator.requests == []


@pytest.mark.parametrize("ends", ["cancelled", "refused"])
async def test_what_contradicts_an_earlier_call_and_comes_to_nothing_undoes_nothing(
    emulator: Emulator, group: str, ends: str
) -> None:
    """The earlier one waits for what becomes of the later."""
    emulator.update_group(group, {"experienceUserIds": [user(2)]})
    emulator.latency = 0.02

    def refuse(request: RequestRecord) -> None:
        if request.method == "PATCH" and user(9).encode() in request.body:
            raise ValueError("this user is locked")

    emulator.before_request = refuse
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        adding = asyncio.create_task(groups.add_members(group, experience_user_ids=[user(1)]))
        removing = asyncio.create_task(groups.remove_members(group, experience_user_ids=[user(2)]))
        await asyncio.sleep(0)
        if ends == "cancelled":
            later = [
                asyncio.create_task(groups.remove_members(group, experience_user_ids=[user(1)])),
                asyncio.create_task(groups.add_members(group, experience_user_ids=[user(2)])),
            ]
            await asyncio.sleep(0)
            for one in later:
                one.cancel()
        else:
            later = [asyncio.create_task(groups.add_members(group, experience_user_ids=[user(2), user(9)]))]
        await asyncio.wait(later)
        assert user(1) in (await adding).experience_user_ids
        await removing
    assert users_of(emulator) == {user(1)}


async def test_a_write_that_was_left_on_the_wire_is_waited_for(emulator: Emulator, group: str) -> None:
    """Whoever removes what a cancelled call was about to add removes it, however late that lands."""
    emulator.lateness = 0.05
    async with client_of(emulator, retry=RetryPolicy(first_delay=0.01, settle_time=0.5)) as losant:
        groups = losant.experience_groups
        emulator.inject(Fault.LATE_WRITE, method="PATCH")
        adding = asyncio.create_task(groups.add_members(group, experience_user_ids=[user(1)]))
        while not patches(emulator):
            await asyncio.sleep(0.001)
        adding.cancel()
        await asyncio.wait({adding})
        await groups.remove_members(group, experience_user_ids=[user(1)])
        while emulator.late_writes:
            await asyncio.sleep(0.001)
    assert users_of(emulator) == set()


async def test_a_write_that_fails_fails_nobody_who_waits_for_the_second_look(emulator: Emulator, group: str) -> None:
    """It was written, and is looked at again all the same."""
    async with client_of(emulator, retry=RetryPolicy(first_delay=0.01, settle_time=0.3, max_attempts=2)) as losant:
        groups = losant.experience_groups
        written = asyncio.create_task(groups.add_members(group, experience_user_ids=[user(1)]))
        while not users_of(emulator):
            await asyncio.sleep(0.001)
        emulator.inject(Fault.SERVER_ERROR, times=None, method="PATCH")
        with pytest.raises(ServerError):
            await groups.add_members(group, experience_user_ids=[user(2)])
        assert (await written).experience_user_ids == (user(1),)


async def test_nothing_is_kept_of_groups_that_nobody_edits(emulator: Emulator) -> None:
    """A service that runs for months edits many."""
    editors = GroupEditors()
    async with client_of(emulator, retry=QUICK) as losant:
        endpoint, _ = parts_of(losant.experience_groups)
        ids = list(emulator.create_groups([{"name": f"{n}"} for n in range(20)]).values())
        await asyncio.gather(*(editors.edit(endpoint, one, tag_wishes({"a": "1"})) for one in ids))
        for _ in range(10):
            await asyncio.sleep(0)
        gc.collect()
        assert len(editors) == 0


async def test_news_that_has_become_old_is_not_written_on(emulator: Emulator, group: str) -> None:
    """A pause that somebody else was asked for comes between the reading and the write, and so does a change."""
    emulator.latency, emulator.retry_after = 0.1, 2
    emulator.inject(Fault.TOO_MANY_REQUESTS, path="*/groups")
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        counting = asyncio.create_task(groups.list().count())
        while not emulator.requests:
            await asyncio.sleep(0.001)
        emulator.latency = 0.3  # so that the group is read after the refusal of the list, which is under way
        editing = asyncio.create_task(groups.add_members(group, device_ids=[user(1)]))
        while len(emulator.requests) < 2 or not emulator.requests[1].status:
            await asyncio.sleep(0.001)
        emulator.update_group(group, {"deviceIds": [user(7)]})
        await asyncio.gather(editing, counting)
    assert set(emulator.groups()[0]["deviceIds"]) == {user(1), user(7)}
    assert patches(emulator) == 1
