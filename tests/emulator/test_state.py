"""What an emulator knows, all at once: snapshots, lists that lag, seeds with ids of their own, files."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from aiolosant import ExperienceGroup, LosantClient, NewExperienceGroup
from aiolosant.emulator import Emulator

from ..conftest import client_of
from .api import Api


@pytest.mark.parametrize("in_file", [False, True])
async def test_a_snapshot_is_come_back_to(tmp_path: Path, in_file: bool) -> None:
    """Groups with tags and members, tokens, applications; as often as one likes."""
    async with Emulator(data=tmp_path / "groups.db" if in_file else None) as emulator, client_of(emulator) as losant:
        user = emulator.create_experience_user("a@example.com")
        new = {"name": "a", "groupTags": {"k": "v"}, "experienceUserIds": [user]}
        (group,) = emulator.create_groups([new]).values()
        before = emulator.groups()
        snapshot = emulator.snapshot()
        for _ in range(2):
            await losant.experience_groups.update(group, name="b", group_tags={}, experience_user_ids=[])
            await losant.experience_groups.create(NewExperienceGroup("c"))
            other = emulator.create_application()
            emulator.restore(snapshot)
            assert emulator.groups() == before
            found = await losant.experience_groups.list(query={"groupTags": {"k": "v"}}).to_list()
            assert [one.id for one in found] == [group]
            assert await losant.experience_groups.list(query={"experienceUserId": user}).count() == 1
            with pytest.raises(ValueError, match="there is no application"):
                emulator.groups(application_id=other)


async def test_a_write_shows_late_in_lists(emulator: Emulator, losant: LosantClient) -> None:
    """Created, updated and deleted ones, while `get` and `groups()` tell what is."""
    groups = losant.experience_groups
    kept, gone = [await groups.create(NewExperienceGroup(name)) for name in ("kept", "gone")]
    emulator.staleness = 3600
    made = await groups.create(NewExperienceGroup("made"))
    await groups.update(kept.id, name="renamed")
    await groups.delete(gone.id)
    assert [group.name async for group in groups.scan()] == ["kept", "gone"]
    assert (await groups.get(made.id)).name == "made"
    assert [group["name"] for group in emulator.groups()] == ["renamed", "made"]
    emulator.staleness = 0.0000001
    assert [group.name async for group in groups.scan()] == ["renamed", "made"]
    emulator.staleness = 3600
    await groups.delete(made.id)
    assert await groups.list().count() == 2
    emulator.staleness = 0
    assert await groups.list().count() == 1


async def test_groups_are_made_of_models_and_with_their_own_ids(emulator: Emulator, losant: LosantClient) -> None:
    """What was listed in one place is made in another: ids, dates, trees."""
    parent = await losant.experience_groups.create(NewExperienceGroup("Acme", group_tags={"k": "v"}))
    await losant.experience_groups.create(NewExperienceGroup("Plant", parent_id=parent.id))
    listed: list[ExperienceGroup] = await losant.experience_groups.list().to_list()
    with Emulator(application_id=emulator.application_id) as other:
        other.create_groups(listed, keep_ids=True)
        assert other.groups() == emulator.groups()
        with pytest.raises(ValueError, match="there is a group with the id"):
            other.create_groups(listed, keep_ids=True)
        with pytest.raises(ValueError, match="its id must be 24 hex digits to be kept, not '1'"):
            other.create_groups([{"id": "1", "name": "x"}], keep_ids=True)
        other.create_groups([NewExperienceGroup("by itself")])
        assert len(other.groups()) == 3


def test_a_foreign_file_is_not_touched(tmp_path: Path) -> None:
    """Another program's database, and one of a newer version, are refused as they are."""
    foreign = tmp_path / "other.db"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE groups (id TEXT)")
    database.close()
    before = foreign.read_bytes()
    with pytest.raises(ValueError, match="is a database of another program"):
        Emulator(data=foreign)
    assert foreign.read_bytes() == before
    newer = tmp_path / "newer.db"
    Emulator(data=newer).close()
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ValueError, match="newer version of aiolosant"):
        Emulator(data=newer)


async def test_a_file_of_the_first_edition_goes_on(tmp_path: Path) -> None:
    """It knew no version, and searched members in another way."""
    data = tmp_path / "groups.db"
    emulator = Emulator(data=data)
    emulator.create_groups([{"name": "a", "experienceUserIds": ["b" * 24]}])
    emulator.close()
    with sqlite3.connect(data) as database:  # back to what it was then
        for kind, name in database.execute(
            "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') OR name IN ('memberships', 'mains')"
        ).fetchall():
            database.execute(f"DROP {kind} {name}")
        database.execute("PRAGMA application_id = 0")
        database.execute("PRAGMA user_version = 0")
    database.close()
    async with Emulator(data=data) as again, aiohttp.ClientSession() as session:
        _, page = await Api(again, session)("GET", query=f'{{"experienceUserId": "{"b" * 24}"}}')
        assert page["totalCount"] == 1


async def test_ids_that_were_kept_are_not_given_again() -> None:
    """Two emulators of one seed: what comes from the one is in the other's way, and it steps aside."""
    async with Emulator(seed=0) as one, Emulator(seed=0) as other, client_of(other) as losant:
        one.create_groups([{"name": f"{n}"} for n in range(5)])
        other.create_groups(one.groups(), keep_ids=True)
        made = await losant.experience_groups.create(NewExperienceGroup("new"))
        assert made.id not in {group["id"] for group in one.groups()}
        other.reset()
        assert list(other.create_groups([{"name": "a"}]).values()) == [one.groups()[0]["id"]]
        with Emulator(seed=1) as third, pytest.raises(ValueError, match="another emulator's"):
            other.restore(third.snapshot())


async def test_many_groups_that_are_made_at_once_show_at_once(emulator: Emulator, losant: LosantClient) -> None:
    """A list that lags shows states that were, and no others."""
    emulator.staleness = 0.05
    emulator.create_groups([{"name": f"{n}"} for n in range(5000)])
    seen = set()
    while 5000 not in seen:
        seen.add(await losant.experience_groups.list().count())
    assert seen <= {0, 5000}


async def test_every_millisecond_is_found_by_its_date(emulator: Emulator, losant: LosantClient) -> None:
    """Floats miss some."""
    start = 1076629332000
    dates = [datetime.fromtimestamp(start // 1000, UTC) + timedelta(milliseconds=n) for n in range(300)]
    records = [
        {"id": f"{n:024x}", "name": "a", "creationDate": f"{date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03}Z"}
        for n, date in enumerate(dates)
    ]
    emulator.create_groups(records, keep_ids=True)
    for record in records[::7]:
        found = await losant.experience_groups.list(query={"creationDate": record["creationDate"]}).to_list()
        assert [group.id for group in found] == [record["id"]]


def test_a_misspelled_setting_is_refused() -> None:
    """Otherwise a test would pass without what it had set."""
    with Emulator() as emulator:
        emulator.latency = 0.01
        with pytest.raises(AttributeError, match="an emulator has no latancy"):
            emulator.latancy = 0.01


def test_a_record_without_an_id_is_no_parent_of_those_without_one() -> None:
    """An id of None is none."""
    with Emulator() as emulator:
        emulator.create_groups([{"id": None, "name": "A"}, {"id": None, "name": "B"}])
        assert [group["ancestorIds"] for group in emulator.groups()] == [[], []]


async def test_what_comes_out_of_a_hook_after_a_reset_is_not_done(emulator: Emulator, api: Api) -> None:
    """It was another test's."""

    def reset(_: object) -> None:
        emulator.before_request = None
        emulator.reset()

    emulator.before_request = reset
    with pytest.raises(aiohttp.ClientError):
        await api("POST", json={"name": "A"})
    assert emulator.groups() == []
