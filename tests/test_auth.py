"""The token and its provider."""

import asyncio
import traceback
from typing import Any

import pytest

from aiolosant import AuthenticationError, ConfigurationError, NewExperienceGroup, by_name
from aiolosant._http.auth import Auth, Secret
from aiolosant.emulator import Emulator

from .conftest import client_of

NEW = NewExperienceGroup("a")


class Provider:
    """Gives its tokens one after the other, and counts how often it is asked."""

    def __init__(self, *tokens: object) -> None:
        self.tokens = list(tokens)
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> str:
        self.asked += 1
        await self.gate.wait()
        token = self.tokens[min(self.asked, len(self.tokens)) - 1]
        if isinstance(token, BaseException):
            raise token
        return token  # type: ignore[return-value]  # a wrong type is one of the subjects


async def test_a_provider_is_asked_once(emulator: Emulator) -> None:
    """One question for all that wait, and none while the token is good."""
    provider = Provider(emulator.token)
    async with client_of(emulator, token=provider) as losant:
        counts = await asyncio.gather(*(losant.experience_groups.list().count() for _ in range(20)))
        assert counts == [0] * 20
    assert provider.asked == 1


async def test_a_refused_token_is_asked_for_anew_by_one(emulator: Emulator) -> None:
    """After a 401 one caller asks and all go on with the new token; a create that was refused is sent again."""
    provider = Provider("expired", emulator.token)
    async with client_of(emulator, token=provider) as losant:
        new = (NewExperienceGroup(f"{n}") for n in range(20))
        report = await losant.experience_groups.create_many(new, concurrency=10).report()
    assert (report.created, report.failed) == (20, ())
    assert provider.asked == 2
    assert sum(request.status == 401 for request in emulator.requests) <= 10


@pytest.mark.parametrize("tokens", [("wrong",), ("wrong", "as wrong")])
async def test_a_fresh_token_that_is_refused_too_is_an_error(emulator: Emulator, tokens: tuple[str, ...]) -> None:
    """There is one new token a call, not a loop of them."""
    provider = Provider(*(token.replace(" ", "-") for token in tokens))
    async with client_of(emulator, token=provider) as losant:
        with pytest.raises(AuthenticationError):
            await losant.experience_groups.list().count()
    assert provider.asked == 2
    assert len(emulator.requests) == len(tokens)


async def test_what_the_provider_raises_reaches_all_that_wait(emulator: Emulator) -> None:
    """The provider's own error is the caller's, and the next call asks again."""
    provider = Provider(OSError("vault is sealed"), emulator.token)
    provider.gate.clear()
    async with client_of(emulator, token=provider) as losant:
        calls = [asyncio.create_task(losant.experience_groups.list().count()) for _ in range(3)]
        await asyncio.sleep(0)
        provider.gate.set()
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, OSError)
        assert provider.asked == 1
        assert await losant.experience_groups.list().count() == 0


@pytest.mark.parametrize("token", [None, "never shown", "", b"never shown"])
async def test_a_provider_must_give_a_token(token: object) -> None:
    """What cannot go into a header is refused before anything is sent, and shown neither in text nor in locals."""

    vault = iter([token])

    async def provide() -> Any:
        return next(vault)

    del token
    with pytest.raises((TypeError, ValueError), match="token must be") as caught:
        await Auth(provide).token()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    assert "never shown" not in "".join(shown).replace('"never shown"', "")  # but for the source of this very test


async def test_one_callers_cancellation_is_not_the_others(emulator: Emulator) -> None:
    """Whoever waits for the same token still gets it; closing the client ends the question."""
    provider = Provider(emulator.token)
    provider.gate.clear()
    losant = client_of(emulator, token=provider)
    first = asyncio.create_task(losant.experience_groups.list().count())
    second = asyncio.create_task(losant.experience_groups.list().count())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    provider.gate.set()
    assert await second == 0
    assert first.cancelled()
    await losant.close()


async def test_closing_ends_the_wait_for_a_provider(emulator: Emulator) -> None:
    """A provider that never answers does not keep a client from closing."""
    provider = Provider(emulator.token)
    provider.gate.clear()
    losant = client_of(emulator, token=provider)
    call = asyncio.create_task(losant.experience_groups.list().count())
    await asyncio.sleep(0)
    await losant.close()
    with pytest.raises(ConfigurationError, match="the client was closed"):
        await call


async def test_a_provider_that_is_cancelled_is_an_error(emulator: Emulator) -> None:
    """Nobody cancelled the call, so it does not end as if somebody had."""
    async with client_of(emulator, token=Provider(asyncio.CancelledError())) as losant:
        for call in (
            losant.experience_groups.list().count(),
            losant.experience_groups.create(NEW, unique_by=by_name()),
        ):
            with pytest.raises(ConfigurationError, match="the provider was cancelled"):
                await call


async def test_a_timeout_of_the_provider_is_the_providers(emulator: Emulator) -> None:
    """It is not taken for the end of the call's own time."""
    async with client_of(emulator, token=Provider(TimeoutError("vault is slow"))) as losant:
        with pytest.raises(TimeoutError, match="vault is slow"):
            await losant.experience_groups.list().count()


async def test_a_straggler_does_not_throw_a_fresh_token_away() -> None:
    """A 401 for the old token that comes after the new one was got asks for no third."""
    provider = Provider("old", "new", "newer")
    auth = Auth(provider)
    old = await auth.token()
    assert await auth.renew(old)
    assert await auth.renew(old)
    assert (await auth.token()).text == "new"
    assert provider.asked == 2
    assert "old" not in repr(old)


def test_a_short_token_leaves_other_words_alone() -> None:
    """A token is masked wherever it stands, one that is part of every word only where a header has it."""
    assert Secret("t").masked_in("cannot connect: Bearer t") == "cannot connect: Bearer ***"
    assert Secret("long-enough").masked_in("cannot use long-enough") == "cannot use ***"


async def test_a_provider_that_cannot_be_awaited_is_told_of() -> None:
    """A plain function is the commonest slip."""
    auth = Auth(lambda: "secret-token")  # type: ignore[arg-type, return-value]  # it is what the test is about
    with pytest.raises(TypeError, match="text or an async callable; what was called gave str"):
        await auth.token()


async def test_each_call_has_an_error_of_its_own(emulator: Emulator) -> None:
    """What one of them says of its request is not said by the other's."""
    provider = Provider(ConfigurationError("no token today"))
    paths = []
    async with client_of(emulator, token=provider) as losant:
        for error in await asyncio.gather(
            *(losant.experience_groups.get(f"{n:024x}") for n in range(2)), return_exceptions=True
        ):
            assert isinstance(error, ConfigurationError)
            paths.append(str(error.path)[-1])
    assert paths == ["0", "1"]


async def test_to_close_a_client_ends_a_question_that_others_gave_up(emulator: Emulator) -> None:
    """Whoever still waits for it is told at once."""
    provider = Provider(emulator.token)
    provider.gate.clear()
    losant = client_of(emulator, token=provider)
    calls = [asyncio.create_task(losant.experience_groups.get(f"{n:024x}")) for n in range(2)]
    while not provider.asked:
        await asyncio.sleep(0)
    calls[0].cancel()
    await asyncio.wait(calls[:1])
    await losant.close()
    with pytest.raises(ConfigurationError, match="the client was closed"):
        await calls[1]
