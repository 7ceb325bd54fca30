"""What an emulator knows, all at once: snapshots, lists that lag, seeds with ids of their own, files."""

import sqlite3
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
            "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') OR name = 'memberships'"
        ).fetchall():
            database.execute(f"DROP {kind} {name}")
        database.execute("PRAGMA application_id = 0")
        database.execute("PRAGMA user_version = 0")
    database.close()
    async with Emulator(data=data) as again, aiohttp.ClientSession() as session:
        _, page = await Api(again, session)("GET", query=f'{{"experienceUserId": "{"b" * 24}"}}')
        assert page["totalCount"] == 1
