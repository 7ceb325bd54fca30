"""The doctor finds out what holds of a server, and leaves nothing behind."""

import asyncio
import base64
import json
from typing import Any

import pytest

from aiolosant import LosantClient, LosantError, RetryPolicy, doctor
from aiolosant.emulator import QUIRKS, Emulator, Fault, RequestRecord

from .conftest import client_of
from .served import Served


def verdicts(report: doctor.Report) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in report.findings}


async def test_all_is_as_assumed_on_the_emulator(emulator: Emulator, losant: LosantClient) -> None:
    """What is there already stays, and nothing else is left."""
    emulator.create_groups([{"name": "Acme"}])
    examined = await doctor.examine(losant)
    unknown = {"token", "writing"}  # the emulator's token tells nothing of itself
    assert {name for name, verdict in verdicts(examined).items() if verdict != "as assumed"} == unknown
    assert examined.ok
    assert {request.method for request in emulator.requests} == {"GET"}
    assert examined.settle_time is None
    probed = await doctor.probe(losant.experience_groups)
    assert set(verdicts(probed).values()) == {"as assumed"}, str(probed)
    assert probed.ok
    assert probed.settle_time is not None
    assert 0 < probed.settle_time < 2
    assert [group["name"] for group in emulator.groups()] == ["Acme"]
    assert emulator.token not in str(examined) + str(probed)


async def test_the_time_until_a_write_shows_is_measured(emulator: Emulator) -> None:
    """Within some tenths of a second, and recommended with a margin."""
    emulator.staleness = 0.4
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.15)) as losant:
        report = await doctor.probe(losant.experience_groups)
    (writes,) = (finding for finding in report.findings if finding.name == "writes")
    assert writes.verdict == "otherwise"
    worst = float(writes.seen.rsplit(" ", 1)[1])
    assert worst >= 0.4
    assert report.settle_time is not None
    assert report.settle_time > worst
    assert "Then settle_time is too short" in str(report)
    assert emulator.groups() == []


@pytest.mark.parametrize(
    ("quirk", "name"),
    [
        (lambda request: request.query.get("query") and '"$gt"' in request.query["query"], "keyset"),
        (lambda request: request.query.get("page") == "1000000", "page past the end"),
        (lambda request: request.path.endswith("f" * 24), "errors"),
    ],
)
async def test_what_could_not_be_found_out_is_unknown(emulator: Emulator, quirk: Any, name: str) -> None:
    """It ends nothing."""
    emulator.before_request = lambda request: Fault.SERVER_ERROR if quirk(request) else None
    policy = RetryPolicy(max_attempts=1, patience=0)
    async with client_of(emulator, retry=policy) as losant:
        report = await doctor.probe(losant.experience_groups)
    assert verdicts(report)[name] == "unknown"
    assert emulator.groups() == []


@pytest.mark.parametrize("cancels", [1, 3])
async def test_a_probe_that_is_cancelled_removes_what_it_made(emulator: Emulator, cancels: int) -> None:
    """However often that is asked for."""
    emulator.latency = 0.005
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.1)) as losant:
        probing = asyncio.create_task(doctor.probe(losant.experience_groups))
        while len(emulator.groups()) < 20:
            await asyncio.sleep(0.001)
        for _ in range(cancels):
            probing.cancel()
            await asyncio.sleep(0.002)
        with pytest.raises(asyncio.CancelledError):
            await probing
    assert emulator.groups() == []  # nor what was on the wire at that moment


async def test_what_a_killed_probe_left_is_removed_by_the_next(emulator: Emulator, losant: LosantClient) -> None:
    """By its mark, and nothing else."""
    emulator.create_groups([{"name": "left", "groupTags": {doctor.MARK: "7"}}, {"name": "Acme"}])
    await doctor.probe(losant.experience_groups)
    assert [group["name"] for group in emulator.groups()] == ["Acme"]


FOUND_BY = {
    "keyset": "keyset",
    "tags": "query by tag",
    "names": "query by name",
    "filter": "filter",
    "empty": "empty $or and $nor",
    "per_page": "perPage beyond 1000",
    "past_end": "page past the end",
    "patch": "PATCH of tags and lists",
    "children": "children of a deleted group",
    "duplicates": "duplicate names",
    "errors": "errors",
    "clock": "clock",
}


@pytest.mark.parametrize("quirk", QUIRKS)
async def test_each_quirk_is_found_out_and_nothing_else(quirk: str) -> None:
    """And nothing is left, however wrong the server is."""
    policy = RetryPolicy(first_delay=0.001, max_delay=0.002, settle_time=30)  # a busy machine shows writes late
    with Emulator(quirks={quirk}) as emulator:
        async with client_of(emulator, retry=policy) as losant:
            examined, probed = await doctor.examine(losant), await doctor.probe(losant.experience_groups)
        found = verdicts(examined) | verdicts(probed)
        assert [name for name, verdict in found.items() if verdict == "otherwise"] == [FOUND_BY[quirk]], str(probed)
        assert emulator.groups() == []
    harmless = {"per_page", "duplicates", "clock"}
    assert (examined.ok and probed.ok) is (quirk in harmless)


def test_a_quirk_that_does_not_exist_is_told() -> None:
    """With the names of those that do."""
    with pytest.raises(ValueError, match="there is no quirk 'keysets'; there are keyset, tags"):
        Emulator(quirks=["keysets"])


async def test_a_lost_answer_spoils_no_probe(emulator: Emulator, losant: LosantClient) -> None:
    """It is made once more; what it may have made is found by its mark."""
    emulator.inject_random({Fault.CUT_AFTER_WRITE: 0.1, Fault.UNAVAILABLE: 0.05, Fault.BAD_GATEWAY: 0.05}, seed=3)
    policy = RetryPolicy(max_attempts=15, first_delay=0.001, max_delay=0.002, settle_time=0.1)
    async with client_of(emulator, retry=policy) as client:
        await doctor.probe(client.experience_groups)
    assert emulator.groups() == []


async def test_a_cancellation_during_the_removal_is_passed_on(emulator: Emulator, losant: LosantClient) -> None:
    """After all is removed."""
    deleting, loop = asyncio.Event(), asyncio.get_running_loop()

    def notice(request: RequestRecord) -> None:
        if request.method == "DELETE" and len(emulator.groups()) > 40:
            loop.call_soon_threadsafe(deleting.set)

    emulator.before_request = notice
    probing = asyncio.create_task(doctor.probe(losant.experience_groups))
    await deleting.wait()
    await asyncio.sleep(0)
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing
    assert emulator.groups() == []


async def test_groups_that_could_not_be_removed_are_told_of(emulator: Emulator) -> None:
    """How many, how they are known, and what to do; the next probe removes them."""
    token = emulator.create_token(["experienceGroups.*", "application.get"])
    async with client_of(emulator, token=token, retry=RetryPolicy(settle_time=0.01)) as losant:
        with pytest.raises(LosantError, match=r"\d+ groups with the tag aiolosantDoctor could not be removed: 403"):
            await doctor.probe(losant.experience_groups)
    assert emulator.groups()
    async with client_of(emulator) as losant:
        await doctor.probe(losant.experience_groups)
    assert emulator.groups() == []


def jwt(claims: dict[str, object]) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("claims", "said", "verdict"),
    [
        ({"scope": ["experienceGroups.get"], "exp": 4102444800}, "ends on 2100-01-01 at 00:00 UTC", "as assumed"),
        ({"scope": "all.Application"}, "its scopes are all.Application, and it has no end", "as assumed"),
        ({"exp": 1}, "it does not tell its scopes, and it ends on 1970-01-01", "otherwise"),
        ({"exp": 1_790_000_000_000}, "its end, 1790000000000, is no date", "unknown"),
        ({"sub": "x"}, "neither its scopes nor its end", "unknown"),
    ],
)
async def test_what_a_token_tells_of_itself_is_told(claims: dict[str, object], said: str, verdict: str) -> None:
    """Its scopes and its end, and nothing of the token itself."""
    with Emulator(token=jwt(claims)) as emulator:
        async with client_of(emulator) as losant:
            report = await doctor.examine(losant)
    (token,) = (finding for finding in report.findings if finding.name == "token")
    assert said in token.seen
    assert token.verdict == verdict
    assert emulator.token.split(".")[2] not in str(report)


@pytest.mark.parametrize(
    ("scope", "verdict"), [("experienceGroups.get", "otherwise"), ("all.User.bounded", "as assumed")]
)
async def test_what_a_token_may_write_is_known_from_its_scopes(scope: str, verdict: str) -> None:
    """Without writing anything."""
    with Emulator(token=jwt({"scope": [scope]})) as emulator:
        async with client_of(emulator) as losant:
            assert verdicts(await doctor.examine(losant))["writing"] == verdict
        assert {request.method for request in emulator.requests} == {"GET"}


async def test_a_token_that_is_refused_is_told_once(emulator: Emulator) -> None:
    """All else would be refused as well."""
    async with client_of(emulator, token="wrong") as losant:
        report = await doctor.examine(losant)
    assert [finding.name for finding in report.findings] == ["application"]
    assert not report.ok
    assert "401" in str(report)


def test_the_command_tells_and_asks(served: Served) -> None:
    """Reading asks nothing; probing says where, and asks; JSON is for programs."""
    examined = served.run("doctor")
    assert (examined.exit_code, "application: it is called 'Emulated application'" in examined.stdout) == (0, True)
    asked = served.run("doctor", "--probe")
    assert asked.exit_code == 2
    assert served.emulator.application_id in asked.stderr
    assert "Make some 60 groups in it, and remove them again?" in asked.stderr
    probed = served.run("doctor", "--probe", "--yes", "--json")
    assert probed.exit_code == 0
    report = json.loads(probed.stdout)
    assert report["settleTime"] > 0
    assert report["about"]["at"] == served.emulator.url
    assert "otherwise" not in {finding["verdict"] for finding in report["findings"]}
    assert served.groups() == []


async def test_an_outage_is_not_waited_out(emulator: Emulator) -> None:
    """Whoever examines wants to know how it is now."""
    emulator.inject(Fault.UNAVAILABLE, times=None, path="*/groups")
    async with client_of(emulator, retry=RetryPolicy(first_delay=0.01, patience=3600)) as losant:
        report = await doctor.examine(losant)
    assert any("503" in finding.seen for finding in report.findings)
