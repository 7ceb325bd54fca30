"""How calls about members end: with an answer, with an error that says enough, or with the client."""

import asyncio

import pytest

from aiolosant import ConfigurationError, RequestTimeoutError, RetryPolicy
from aiolosant.emulator import Emulator, Fault, RequestRecord

from .conftest import client_of
from .test_members import QUICK, patches, user


@pytest.fixture
def group(emulator: Emulator) -> str:
    (group_id,) = emulator.create_groups([{"name": "Acme", "groupTags": {"externalId": "1"}}]).values()
    return group_id


async def test_calls_contradict_each_other_whatever_the_case_of_an_id(emulator: Emulator, group: str) -> None:
    """An id is the same in any case: the later call holds."""
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        await asyncio.gather(
            groups.add_members(group, device_ids=["A" * 24]), groups.remove_members(group, device_ids=["a" * 24])
        )
    assert emulator.groups()[0]["deviceIds"] == []


async def test_what_does_not_hold_in_time_says_how_often_it_was_written(emulator: Emulator, group: str) -> None:
    """All writes count, not the last alone."""

    def undo(request: RequestRecord) -> None:
        if request.method == "GET":
            emulator.update_group(group, {"experienceUserIds": []})

    emulator.before_request = undo
    retry = RetryPolicy(first_delay=0.01, settle_time=0.02)
    async with client_of(emulator, retry=retry, timeout=1) as losant:
        with pytest.raises(RequestTimeoutError) as caught:
            await losant.experience_groups.add_members(group, experience_user_ids=[user(1)])
    assert 1 < patches(emulator) - 1 <= caught.value.attempts <= patches(emulator)  # one may be under way


async def test_the_time_must_do_for_the_latest_second_look(emulator: Emulator, group: str) -> None:
    """A look comes up to a quarter of `settle_time` later, which a time that is only just longer does not leave."""
    async with client_of(emulator, retry=RetryPolicy(settle_time=10), timeout=12) as losant:
        with pytest.raises(ConfigurationError, match="leaves no time to look again after settle_time"):
            await losant.experience_groups.add_tags(group, {"a": "1"})
    assert emulator.requests == []


async def test_closing_the_client_ends_what_waits_for_its_first_reading(emulator: Emulator, group: str) -> None:
    """Nothing was written yet, and nothing is."""
    emulator.inject(Fault.SILENCE, method="GET")
    losant = client_of(emulator)
    call = asyncio.create_task(losant.experience_groups.add_tags(group, {"a": "1"}))
    while not emulator.requests:
        await asyncio.sleep(0.001)
    await losant.close()
    with pytest.raises(ConfigurationError, match="the client was closed"):
        await call
    assert patches(emulator) == 0


async def test_a_reading_that_is_never_answered_fails_with_its_own_error(emulator: Emulator, group: str) -> None:
    """Of what the group lacks nobody knows anything."""
    emulator.inject(Fault.SILENCE, method="GET")
    retry = RetryPolicy(attempt_timeout=0.1, max_attempts=1, settle_time=0.1)
    async with client_of(emulator, retry=retry) as losant:
        with pytest.raises(RequestTimeoutError) as caught:
            await losant.experience_groups.add_tags(group, {"a": "1"})
    assert caught.value.method == "GET"
    assert "when it was read last" not in str(caught.value)
