"""Reading exactly, while others write."""

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiolosant import (
    ExperienceGroup,
    LosantClient,
    NewExperienceGroup,
    Page,
    Paginator,
    Q,
    ResponseFormatError,
    RetryPolicy,
    ServerError,
)
from aiolosant._http.endpoint import GroupsEndpoint
from aiolosant._paging.keyset import KeysetPages
from aiolosant.emulator import Emulator, Fault

from .conftest import client_of

EDITS = ["create", "delete", "rename", "move"]


class Others:
    """Whoever else works on the application: edits its groups at random, on the server's side."""

    def __init__(self, emulator: Emulator, choose: random.Random) -> None:
        self.emulator = emulator
        self.choose = choose
        self.there = [self.create() for _ in range(25)]
        self.lasting = set(self.there)

    def create(self) -> str:
        (group_id,) = self.emulator.create_groups([{"name": self.name()}]).values()
        return group_id

    def name(self) -> str:
        return "".join(self.choose.choices("abc", k=3))

    def edit(self, kind: str) -> None:
        group = self.choose.choice(self.there)
        if kind == "create":
            self.there.append(self.create())
        elif kind == "delete" and len(self.there) > 5:
            self.emulator.delete_group(group)
            self.there.remove(group)
            self.lasting.discard(group)
        elif kind == "rename":
            self.emulator.update_group(group, {"name": self.name()})
        elif kind == "move":
            with contextlib.suppress(ValueError):  # under itself or one below
                self.emulator.update_group(group, {"parentId": self.choose.choice(self.there)})


async def walk(pages: Paginator[Any], others: Others, edits: list[list[str]]) -> Counter[str]:
    """What a walk yields while the others make some edits after each page."""
    seen: Counter[str] = Counter()
    script = iter(edits)
    async for page in pages.by_page():
        seen.update(group.id for group in page.items)
        for kind in next(script, []):
            others.edit(kind)
    return seen


@settings(max_examples=40)
@given(
    edits=st.lists(st.lists(st.sampled_from(EDITS), max_size=6), max_size=12),
    per_page=st.integers(1, 9),
    seed=st.integers(0, 2**32),
    parallel=st.sampled_from([1, 2, 5]),
)
async def test_a_scan_yields_each_group_that_stays_exactly_once(
    edits: list[list[str]], per_page: int, seed: int, parallel: int
) -> None:
    """Whatever others create, delete, rename and move between its pages."""
    async with Emulator() as emulator, client_of(emulator) as losant:
        others = Others(emulator, random.Random(seed))  # noqa: S311 - no secret
        seen = await walk(losant.experience_groups.scan(per_page=per_page, parallel=parallel), others, edits)
    assert others.lasting <= set(seen)
    assert set(seen.values()) <= {1}


async def test_a_walk_by_page_numbers_loses_some() -> None:
    """The same edits under a list sorted by name: it skips groups that stay, or gives them twice; the scan does not."""
    lost = twice = 0
    for seed in range(20):
        choose = random.Random(seed)  # noqa: S311 - no secret
        edits = [choose.choices(EDITS, k=5) for _ in range(10)]
        for method in ("list", "scan"):
            async with Emulator() as emulator, client_of(emulator) as losant:
                others = Others(emulator, random.Random(seed))  # noqa: S311 - no secret
                seen = await walk(getattr(losant.experience_groups, method)(per_page=4), others, edits)
            missing = others.lasting - set(seen)
            repeated = {group for group, times in seen.items() if times > 1}
            if method == "scan":
                assert (missing, repeated) == (set(), set())
            lost, twice = lost + len(missing), twice + len(repeated)
    assert lost > 10
    assert twice > 10


async def test_a_scan_goes_on_behind_an_id(losant: LosantClient) -> None:
    """`after` resumes a scan that was broken off, with a query or without."""
    groups = losant.experience_groups
    await groups.create_many(NewExperienceGroup(f"{n % 2}") for n in range(20)).report()
    everything = [group.id async for group in groups.scan(per_page=6)]
    assert everything == sorted(everything)
    assert [group.id async for group in groups.scan(after=everything[7].upper())] == everything[8:]
    odd = [group.id async for group in groups.scan(query=Q.name == "1", per_page=3)]
    assert [group.id async for group in groups.scan(query={"name": "1"}, after=odd[3], per_page=2)] == odd[4:]
    assert await groups.scan(query=Q.name == "1").count() == 10
    assert await groups.scan(after=everything[14]).count() == 5
    first = await groups.scan().first()
    assert first is not None
    assert first.id == everything[0]


async def test_a_parallel_scan_reads_ranges_side_by_side(emulator: Emulator, losant: LosantClient) -> None:
    """After the first page; in the order of ids within a range; a failed page is asked for again by going on."""
    groups = losant.experience_groups
    ids = list(emulator.create_groups([{"id": str(n), "name": f"{n % 3}"} for n in range(100)]).values())
    async with client_of(emulator, retry=RetryPolicy(max_attempts=1)) as client:
        emulator.requests.clear()
        pages = client.experience_groups.scan(per_page=5, parallel=4).by_page()
        seen = [group.id for group in (await anext(pages)).items]
        emulator.inject(Fault.UNAVAILABLE, times=2)
        failed = 0
        while True:
            try:
                page = await anext(pages)
            except StopAsyncIteration:
                break
            except ServerError:
                failed += 1
                continue
            assert [group.id for group in page.items] == sorted(group.id for group in page.items)
            seen += [group.id for group in page.items]
    assert failed > 0
    assert sorted(seen) == sorted(ids)
    assert emulator.peak_in_flight > 1
    assert len(await groups.scan(query=Q.name == "1", per_page=4, parallel=3).to_list()) == 33
    emulator.requests.clear()
    assert await groups.scan(parallel=8).first() is not None
    assert len(await groups.scan(parallel=8).to_list()) == 100
    assert len(emulator.requests) == 2  # small ones take no more requests than before


async def test_a_parallel_scan_that_is_left_leaves_nothing(emulator: Emulator, losant: LosantClient) -> None:
    """It reads no further than a page for each range ahead."""
    emulator.create_groups([{"name": f"{n}"} for n in range(200)])
    async with losant.experience_groups.scan(per_page=5, parallel=4).by_page() as pages:
        await anext(pages)
        await anext(pages)
    await losant.close()
    assert len(emulator.requests) < 1 + 3 + 3 * 4


@pytest.mark.parametrize("pages", [1, 3, 8])
async def test_a_parallel_scan_that_is_walked_away_from_keeps_no_client_from_closing(
    emulator: Emulator, losant: LosantClient, pages: int
) -> None:
    """What is read ahead waits for nobody."""
    emulator.create_groups([{"name": f"{n}"} for n in range(200)])
    seen = 0
    async for _ in losant.experience_groups.scan(per_page=5, parallel=4):
        seen += 1
        if seen == 5 * pages:
            break
    await losant.close()
    assert len(emulator.requests) < 1 + 3 + pages + 4


async def test_a_scan_asks_for_what_lies_behind(emulator: Emulator, losant: LosantClient) -> None:
    """Nothing before the first item; each page by the id that it begins behind, always as page 0."""
    groups = losant.experience_groups
    await groups.create_many(NewExperienceGroup(f"{n}") for n in range(5)).report()
    emulator.requests.clear()
    scan = groups.scan(per_page=2)
    assert emulator.requests == []
    ids = [group.id async for group in scan]
    asked = [request.query for request in emulator.requests]
    assert [query.get("query") for query in asked] == [
        None,
        f'{{"id":{{"$gt":"{ids[1]}"}}}}',
        f'{{"id":{{"$gt":"{ids[3]}"}}}}',
    ]
    assert {(query["sortField"], query["sortDirection"], query["page"]) for query in asked} == {("id", "asc", "0")}


@pytest.mark.parametrize("arguments", [{"per_page": 0}, {"per_page": 1001}, {"after": "x"}, {"parallel": 0}])
async def test_wrong_scan_arguments_are_refused_at_once(losant: LosantClient, arguments: dict[str, Any]) -> None:
    """As for a list, before anything is sent."""
    with pytest.raises(ValueError, match="must be"):
        losant.experience_groups.scan(**arguments)


async def test_a_server_that_does_not_sort_by_id_is_noticed(
    losant: LosantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that do not ascend would lose groups."""
    groups = losant.experience_groups
    two = [await groups.create(NewExperienceGroup(name)) for name in "ab"]

    async def unsorted(*_args: object) -> Page[Any]:
        return Page(tuple(reversed(two)), 0, 2, 2)

    monkeypatch.setattr(GroupsEndpoint, "fetch_page", unsorted)
    with pytest.raises(ResponseFormatError, match="no progress"):
        await groups.scan().to_list()


def group(number: int) -> ExperienceGroup:
    return ExperienceGroup(id=f"{number:024x}", name="a")


@pytest.mark.parametrize(
    ("pages", "ids"),
    [
        # A short page with more behind it: the server counts what it does not give at once.
        ([Page((group(1),), 0, 1000, 2), Page((group(2),), 0, 1000, 1)], [1, 2]),
        # An empty page that was counted at another moment.
        ([Page[ExperienceGroup]((), 0, 1000, 1), Page[ExperienceGroup]((), 0, 1000, 0)], []),
        # A full page is never the last, whatever is counted.
        ([Page((group(1),), 0, 1, 1), Page((group(2),), 0, 1, 1), Page[ExperienceGroup]((), 0, 1, 0)], [1, 2]),
        # Without a count, a short page is the last.
        ([Page((group(1),), 0, 1000, None)], [1]),
    ],
)
async def test_a_scan_ends_where_nothing_is_left(pages: list[Page[ExperienceGroup]], ids: list[int]) -> None:
    """Not before, whatever a server counts, and not later."""
    script = iter(pages)

    async def fetch(_after: str | None, _per_page: int) -> Page[ExperienceGroup]:
        return next(script)

    walk = KeysetPages(fetch, lambda group: group.id, per_page=1000)
    assert [int(item.id, 16) async for page in walk for item in page.items] == ids
    assert list(script) == []


@pytest.mark.parametrize("pages", [[Page((group(1),), 0, 1, 5)] * 2, [Page[ExperienceGroup]((), 0, 1000, 5)] * 2])
async def test_a_scan_without_progress_is_an_error(pages: list[Page[ExperienceGroup]]) -> None:
    """The same key again, or nothing of what is counted."""
    script = iter(pages)

    async def fetch(_after: str | None, _per_page: int) -> Page[ExperienceGroup]:
        return next(script)

    with pytest.raises(ResponseFormatError, match="no progress"):
        _ = [page async for page in KeysetPages(fetch, lambda group: group.id, per_page=1)]


async def test_a_parallel_scan_that_is_left_ends_what_it_reads_ahead(emulator: Emulator, losant: LosantClient) -> None:
    """When it is closed nothing is under way, and not only when the client is."""
    emulator.create_groups([{"name": f"{n}"} for n in range(100)])
    # The first page, where the ranges begin, and the first page of each.
    emulator.before_request = lambda _: Fault.SILENCE if len(emulator.requests) > 1 + 3 + 4 else None
    async with losant.experience_groups.scan(per_page=5, parallel=4).by_page() as pages:
        await anext(pages)
        await anext(pages)
        while not losant.stats().in_flight:
            await asyncio.sleep(0)
    assert losant.stats().in_flight == 0


async def test_a_page_of_a_parallel_scan_says_how_many_are_left(emulator: Emulator, losant: LosantClient) -> None:
    """Its own included, as those of a scan that is not parallel do."""
    emulator.create_groups([{"name": f"{n}"} for n in range(103)])
    for parallel in (1, 4):
        seen = 0
        async for page in losant.experience_groups.scan(per_page=5, parallel=parallel).by_page():
            assert page.total_count == 103 - seen
            seen += len(page.items)
        assert seen == 103
