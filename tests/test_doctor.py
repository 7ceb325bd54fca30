"""The doctor finds out what holds of a server, and leaves nothing behind."""

import asyncio
import json
from typing import Any

import pytest

from aiolosant import LosantClient, RetryPolicy, doctor
from aiolosant.emulator import Emulator, Fault, RequestRecord

from .conftest import client_of
from .served import Served


def verdicts(report: doctor.Report) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in report.findings}


async def test_all_is_as_assumed_on_the_emulator(emulator: Emulator, losant: LosantClient) -> None:
    """What is there already stays, and nothing else is left."""
    emulator.create_groups([{"name": "Acme"}])
    examined = await doctor.examine(losant)
    assert set(verdicts(examined).values()) == {"as assumed"}
    assert {request.method for request in emulator.requests} == {"GET"}
    assert examined.settle_time is None
    probed = await doctor.probe(losant.experience_groups)
    assert set(verdicts(probed).values()) == {"as assumed"}, str(probed)
    assert probed.ok
    assert probed.settle_time is not None
    assert 0.5 <= probed.settle_time < 2
    assert [group["name"] for group in emulator.groups()] == ["Acme"]
    assert emulator.token not in str(examined) + str(probed)


async def test_the_time_until_a_write_shows_is_measured(emulator: Emulator) -> None:
    """Within some tenths of a second, and recommended with a margin."""
    emulator.staleness = 0.8
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.3)) as losant:
        report = await doctor.probe(losant.experience_groups)
    (writes,) = (finding for finding in report.findings if finding.name == "writes")
    assert writes.verdict == "otherwise"
    worst = float(writes.seen.rsplit(" ", 1)[1])
    assert worst >= 0.8
    assert report.settle_time is not None
    assert report.settle_time >= 1.2
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


async def test_children_that_are_deleted_are_told_loudly(emulator: Emulator, losant: LosantClient) -> None:
    """It would make every prune a catastrophe."""

    def cascade(request: RequestRecord) -> None:
        if request.method == "DELETE":
            doomed = request.path[-24:]
            for group in emulator.groups():
                if group["parentId"] == doomed:
                    emulator.delete_group(group["id"])

    emulator.before_request = cascade
    report = await doctor.probe(losant.experience_groups)
    assert verdicts(report)["children of a deleted group"] == "otherwise"
    assert "never prune" in str(report)
    assert not report.ok


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
    assert report["settleTime"] >= 0.5
    assert {finding["verdict"] for finding in report["findings"]} == {"as assumed"}
    assert served.groups() == []
