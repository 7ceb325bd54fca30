"""The client: its arguments, and who closes what."""

import asyncio
import inspect
import threading
import traceback
import warnings
from typing import Any

import aiohttp
import pytest

from aiolosant import ConfigurationError, LosantClient, NewExperienceGroup, RetryPolicy, TransportError
from aiolosant.client import ClientOptions
from aiolosant.emulator import Emulator

from .conftest import client_of

APPLICATION = "575ec8687ae143cd83dc4a97"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"token": ""}, ValueError, "token must be visible ASCII"),
        ({"token": "two words"}, ValueError, "token must be visible ASCII"),
        ({"token": "line\nbreak"}, ValueError, "token must be visible ASCII"),
        ({"token": None}, TypeError, "token must be text or an async callable"),
        ({"application_id": "mine"}, ValueError, "application_id must be 24 hex digits, not 'mine'"),
        ({"application_id": 7}, TypeError, "application_id must be text"),
        ({"base_url": "api.losant.com"}, ValueError, "base_url must be an http"),
        ({"base_url": "ftp://api.losant.com"}, ValueError, "base_url must be an http"),
        ({"base_url": "https://api.losant.com?x=1"}, ValueError, "no query"),
        ({"base_url": "https://me:secret@api.losant.com"}, ValueError, "no user name"),
        ({"base_url": "http://api.losant.com"}, ConfigurationError, "unencrypted to api.losant.com"),
        ({"base_url": "http://127.0.0.1.example.com"}, ConfigurationError, "unencrypted"),
        ({"base_url": "https://api.losant.com/#"}, ValueError, "no fragment"),
        ({"base_url": "https://api.losant.com:99999"}, ValueError, "base_url must be an http"),
        ({"base_url": 5}, TypeError, "base_url must be text, not int"),
        ({"token": "two-words", "application_id": "two-words"}, ValueError, "mixed up"),
        ({"session": "x"}, TypeError, "session must be an aiohttp.ClientSession, not str"),
        ({"timeout": "5"}, TypeError, "timeout must be a number of seconds, not str"),
        ({"retry": 5}, TypeError, "retry must be a RetryPolicy, not int"),
        ({"allow_http": "no"}, TypeError, "allow_http must be True or False, not str"),
        ({"max_in_flight": 0}, ValueError, "max_in_flight must be 1 or more, not 0"),
        ({"max_in_flight": 1.5}, TypeError, "max_in_flight must be an integer"),
        ({"timeout": 0}, ValueError, "timeout must be more than 0 seconds, not 0"),
        ({"timeout": float("inf")}, ValueError, "timeout must be more than 0 seconds, not inf"),
        ({"timeout": True}, TypeError, "timeout must be a number of seconds, not bool"),
        ({"timeout": float("nan")}, ValueError, "timeout must be more than 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    """Each argument is checked when the client is made, and named; a token or password is never quoted."""
    with pytest.raises(kind, match=message) as caught:
        LosantClient(**{"token": "t", **arguments})
    traceback.TracebackException.from_exception(caught.value, capture_locals=True)  # shows the half-made client
    assert "secret" not in str(caught.value)
    assert "two words" not in str(caught.value)
    assert "two-words" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"base_url": "https://example.com/losant/"},
        {"base_url": "http://localhost:8420"},
        {"base_url": "http://127.8.9.10"},
        {"base_url": "http://[::1]:80"},
        {"base_url": "http://emulator:8420", "allow_http": True},
    ],
)
def test_a_token_may_go_over_https_or_to_this_machine(arguments: dict[str, Any]) -> None:
    """Plain http to another machine takes an explicit `allow_http`."""
    LosantClient("t", **arguments)


async def test_a_session_with_auth_is_refused() -> None:
    """It would collide with the token, so it is named when the client is made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer versions of aiohttp
        session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("me", "secret"))
    async with session:
        with pytest.raises(ConfigurationError, match="auth= of its own"):
            LosantClient("t", session=session)


async def test_an_application_is_needed_for_its_groups_alone(emulator: Emulator) -> None:
    """Without an application of its own a client still reaches others."""
    async with client_of(emulator, application_id=None) as losant:
        with pytest.raises(ConfigurationError, match="LOSANT_APPLICATION_ID"):
            losant.experience_groups  # noqa: B018 - a property
        application = losant.application(emulator.application_id)
        assert application.id == emulator.application_id
        assert await application.experience_groups.list().to_list() == []


async def test_the_environment_makes_a_client(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three variables of Losant's tools; arguments win over them; a token there must be."""
    monkeypatch.delenv("LOSANT_API_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match="set LOSANT_API_TOKEN"):
        LosantClient.from_env()
    monkeypatch.setenv("LOSANT_API_TOKEN", emulator.token)
    monkeypatch.setenv("LOSANT_APPLICATION_ID", APPLICATION)
    monkeypatch.setenv("LOSANT_API_URL", emulator.url)
    async with LosantClient.from_env(application_id=emulator.application_id) as losant:
        assert await losant.experience_groups.list().count() == 0
    assert repr(LosantClient.from_env()) == f"<LosantClient {emulator.url} application_id={APPLICATION}>"


def test_the_environment_takes_what_the_constructor_takes() -> None:
    """As a type checker sees it."""
    taken = inspect.signature(LosantClient).parameters
    assert set(ClientOptions.__annotations__) == set(taken)


async def test_a_closed_client_says_so(emulator: Emulator) -> None:
    """Closing twice does no harm; a call after it is a ConfigurationError."""
    losant = client_of(emulator)
    await losant.experience_groups.create(NewExperienceGroup("a"))
    await losant.close()
    await losant.close()
    with pytest.raises(ConfigurationError, match="closed"):
        await losant.experience_groups.list().first()


def test_a_client_made_outside_a_loop_opens_its_session_when_used() -> None:
    """It belongs to the loop of its first use; in another one it says so instead of hanging."""
    once = RetryPolicy(max_attempts=1)
    losant = LosantClient("t", application_id=APPLICATION, base_url="http://127.0.0.1:1", retry=once)

    async def use_and_close() -> None:
        async with Emulator() as emulator, client_of(emulator) as other:
            assert await other.experience_groups.list().count() == 0
        with pytest.raises(TransportError, match="no answer"):
            await losant.experience_groups.list().count()

    async def use_again() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await losant.experience_groups.list().count()

    asyncio.run(use_and_close())
    asyncio.run(use_again())
    asyncio.run(losant.close())


@pytest.mark.parametrize("runs", [False, True])
async def test_a_client_is_closed_from_another_loop(emulator: Emulator, runs: bool) -> None:
    """Its sessions are closed in the loop that they belong to, be it that of a test module or of another thread."""
    losant, other = client_of(emulator), asyncio.new_event_loop()
    await asyncio.to_thread(other.run_until_complete, losant.experience_groups.list().count())
    thread = threading.Thread(target=other.run_forever)
    if runs:
        thread.start()
    await losant.close()
    if runs:
        other.call_soon_threadsafe(other.stop)
        await asyncio.to_thread(thread.join)
    other.close()


async def test_to_close_a_client_lets_a_write_of_members_end(emulator: Emulator) -> None:
    """It is on the wire; what it was for is told to have been written."""
    (group,) = emulator.create_groups([{"name": "A"}]).values()
    losant = client_of(emulator)
    adding = asyncio.create_task(losant.experience_groups.add_tags(group, {"region": "eu"}))
    while "PATCH" not in {request.method for request in emulator.requests}:
        emulator.latency = 0.1
        await asyncio.sleep(0)
    await losant.close()
    with pytest.raises(ConfigurationError, match="closed after this was written"):
        await adding
    assert [one["groupTags"] for one in emulator.groups()] == [{"region": "eu"}]
    assert [request.status for request in emulator.requests] == [200, 200]
