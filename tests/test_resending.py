"""When a request is sent again, how often, and how long that may take."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from aiolosant import (
    ApiError,
    ConfigurationError,
    LosantError,
    NewExperienceGroup,
    OutcomeUnknownError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    by_name,
    errors,
)
from aiolosant._http.transport import Transport

from .samples import sample
from .servers import Script, answer, cut, raw_server, silence
from .wire import (
    CREATED,
    GROUP,
    OK,
    client,
)

ALWAYS = [cut, answer("HTTP/1.1 503 No"), answer("HTTP/1.1 408 No"), answer(OK, b"<html>")]


@pytest.mark.parametrize("script", ALWAYS)
async def test_a_read_is_resent_as_often_as_the_policy_says(script: Script) -> None:
    """What passes is tried again; the error tells how often; our attempts are the server's log."""
    policy = RetryPolicy(max_attempts=3, first_delay=0)
    async with raw_server(script, script, script) as server, client(server.url, retry=policy) as losant:
        with pytest.raises(LosantError, match="3 attempts"):
            await losant.experience_groups.get(GROUP)
    assert len(server.requests) == 3
    async with (
        raw_server(script, script, answer(OK, sample("group"))) as server,
        client(server.url, retry=policy) as losant,
    ):
        assert (await losant.experience_groups.get(GROUP)).id == GROUP


@pytest.mark.parametrize(
    "script",
    [
        answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/"),
        answer("HTTP/1.1 400 No", sample("error")),
        answer(OK, b'{"id": 1}'),
    ],
)
async def test_what_will_not_change_is_not_resent(script: Script) -> None:
    """A redirect, a refusal and a wrong type are raised at once."""
    async with raw_server(script) as server, client(server.url, retry=RetryPolicy(first_delay=0)) as losant:
        with pytest.raises(LosantError, match="1 attempt"):
            await losant.experience_groups.get(GROUP)
    assert len(server.requests) == 1


@pytest.mark.parametrize("script", [answer("HTTP/1.1 302 Found"), answer(OK, b'{"id": 1, "success": "x"}')])
async def test_an_unknown_update_or_delete_is_sent_again(script: Script) -> None:
    """An update or a delete that was answered by what nobody understands may have happened, and can be repeated."""
    policy = RetryPolicy(first_delay=0)
    changed, gone = answer(OK, sample("group")), answer("HTTP/1.1 404 No", sample("error"))
    async with raw_server(script, changed) as server, client(server.url, retry=policy) as losant:
        assert (await losant.experience_groups.update(GROUP, name="b")).id == GROUP
    async with raw_server(script, gone) as server, client(server.url, retry=policy) as losant:
        await losant.experience_groups.delete(GROUP)
    assert len(server.requests) == 2


async def test_a_retry_after_on_a_404_pauses_nobody() -> None:
    """A 404 with a `Retry-After` holds nobody back."""
    refusal = answer("HTTP/1.1 404 No\r\nRetry-After: 30", sample("error"))
    async with (
        raw_server(refusal, answer(OK, sample("group"))) as server,
        client(server.url, timeout=5) as losant,
    ):
        with pytest.raises(errors.NotFoundError):
            await losant.experience_groups.get(GROUP)
        async with asyncio.timeout(5):
            await losant.experience_groups.get(GROUP)


async def test_an_update_is_resent_and_a_create_only_if_it_was_refused() -> None:
    """A create is sent again after 408, 425 and 429 alone, unless something tells groups apart."""
    policy = RetryPolicy(first_delay=0)
    changed = answer(OK, sample("group"))
    async with raw_server(cut, changed) as server, client(server.url, retry=policy) as losant:
        await losant.experience_groups.update(GROUP, name="b")
    refusals = [answer(f"HTTP/1.1 {status} No") for status in (408, 425, 429)]
    async with (
        raw_server(*refusals, answer(CREATED, sample("group"))) as server,
        client(server.url, retry=policy) as losant,
    ):
        await losant.experience_groups.create(NewExperienceGroup("a"))
    assert len(server.requests) == 4


async def test_a_delete_that_was_lost_is_done_when_the_group_is_gone() -> None:
    """A 404 on the first attempt is an error, on a later one the success of an earlier."""
    gone = answer("HTTP/1.1 404 No", sample("error"))
    policy = RetryPolicy(first_delay=0)
    async with raw_server(cut, gone) as server, client(server.url, retry=policy) as losant:
        await losant.experience_groups.delete(GROUP)
    refused = answer("HTTP/1.1 429 No")
    for scripts in ([gone], [refused, gone]):
        async with raw_server(*scripts) as server, client(server.url, retry=policy) as losant:
            with pytest.raises(errors.NotFoundError):
                await losant.experience_groups.delete(GROUP)


async def test_back_off_grows_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays are drawn below a doubling bound; a clock and a die of our own make the test certain."""
    slept: list[float] = []

    async def sleep(_self: Transport, seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(Transport, "sleep", sleep)  # nobody wants to wait
    monkeypatch.setattr(random, "random", lambda: 0.5)
    scripts = [answer("HTTP/1.1 503 No")] * 5
    async with raw_server(*scripts) as server, client(server.url, retry=RetryPolicy()) as losant:
        with pytest.raises(ServerError):
            await losant.experience_groups.get(GROUP)
    assert slept == [0.125, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_waited_for_within_limits(status: int) -> None:
    """What the server asks for wins over the back-off; more than the policy or the call allows is raised at once."""
    asks = [answer(f"HTTP/1.1 {status} No\r\nRetry-After: {seconds}") for seconds in (0, 60, 61)]
    done = answer(OK, sample("group"))
    async with raw_server(asks[0], done, asks[1], asks[2]) as server:
        async with client(server.url, retry=RetryPolicy(first_delay=30)) as losant:
            await losant.experience_groups.get(GROUP)
        for _ in range(2):
            async with client(server.url, retry=RetryPolicy(), timeout=50) as losant:
                with pytest.raises(ApiError, match="1 attempt"):
                    await losant.experience_groups.get(GROUP)


@pytest.mark.parametrize("verb", ["get", "list", "create", "unique", "batch"])
async def test_silence_costs_no_more_than_the_budget(verb: str) -> None:
    """A server that accepts and says nothing: every call returns within its time, retries and lookups included."""
    scripts = [silence] * 20
    policy = RetryPolicy(attempt_timeout=0.15, first_delay=0.01)
    async with raw_server(*scripts) as server, client(server.url, retry=policy, timeout=0.4) as losant:
        groups = losant.experience_groups
        new = NewExperienceGroup("a")
        loop = asyncio.get_running_loop()
        before = loop.time()
        if verb == "batch":
            report = await groups.create_many([new]).report()
            assert len(report.unknown) == 1
        else:
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "get": lambda: groups.get(GROUP),
                "list": lambda: groups.list().to_list(),
                "create": lambda: groups.create(new),
                "unique": lambda: groups.create(new, unique_by=by_name()),
            }
            with pytest.raises((RequestTimeoutError, OutcomeUnknownError)):
                await calls[verb]()
        assert loop.time() - before <= 0.4 * 1.05 + 0.5  # the machine's own slowness


async def test_a_patient_call_does_not_lose_time_to_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's time stands still while the server asked for a pause; a single call's does not."""
    pause = answer("HTTP/1.1 429 No\r\nRetry-After: 1")
    done = answer(OK, sample("groups"))
    policy = RetryPolicy(max_pause=5)
    async with raw_server(pause, done, pause) as server:
        async with client(server.url, retry=policy, timeout=0.5) as losant:
            page = await anext(losant.experience_groups.list(per_page=2, start_page=3).by_page())
            assert len(page.items) == 2
        async with client(server.url, retry=policy, timeout=0.5) as losant:
            with pytest.raises(errors.RateLimitError):
                await losant.experience_groups.get(GROUP)


@pytest.mark.parametrize("prefetch", [0, 2])
async def test_closing_does_not_wait_for_back_off(
    prefetch: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A call, and a page that is looked ahead for, end at once with the client, however long they would have waited."""
    page = b'{"items": [{"id": "1", "name": "a"}], "totalCount": 9, "perPage": 1}'
    failure = answer("HTTP/1.1 503 No")
    scripts = [answer(OK, page), failure, failure] if prefetch else [failure]
    policy = RetryPolicy(first_delay=1000, max_delay=1000)
    async with raw_server(*scripts) as server:
        losant = client(server.url, retry=policy, timeout=5000)
        monkeypatch.setattr(random, "random", lambda: 0.9)
        walk = aiter(losant.experience_groups.list(per_page=1, prefetch=prefetch))
        if prefetch:
            await anext(walk)
        waiting = asyncio.create_task(anext(walk))
        while sum("resending in 900" in record.getMessage() for record in caplog.records) < max(1, prefetch):
            await asyncio.sleep(0)
        await losant.close()
        with pytest.raises(ConfigurationError, match="client is closed"):
            await waiting
