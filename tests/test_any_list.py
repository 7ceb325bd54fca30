"""`paginate`: every kind of list that Losant has, told by its answers alone."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from aiolosant import LosantClient, Page, Paginator, ResponseFormatError
from aiolosant._paging.offset import AnyPages
from aiolosant.emulator import Emulator

ROWS = [{"id": str(n)} for n in range(25)]


class Answered:
    """What a list answers."""

    def __init__(self, items: list[dict[str, Any]], **said: int) -> None:
        self.items = items
        self.page = said.get("page")
        self.per_page = said.get("perPage")
        self.limit = said.get("limit")
        self.offset = said.get("offset")
        self.total_count = said.get("totalCount")


def walk(answer: Callable[[dict[str, int]], Answered], **options: int) -> tuple[Any, list[dict[str, int]]]:
    asked: list[dict[str, int]] = []

    async def ask(params: Any) -> Answered:
        asked.append(dict(params))
        return answer(dict(params))

    arguments: Any = {"per_page": 10, "start_page": 0, "prefetch": 0} | options
    start = arguments["start_page"] * arguments["per_page"]

    def open_pages(size: int) -> AnyPages:
        task = asyncio.ensure_future
        return AnyPages(ask, per_page=size, offset=start, prefetch=arguments["prefetch"], path="/x", start_task=task)

    return Paginator(open_pages, per_page=arguments["per_page"]), asked


def by_offset(most: int = 1000, default: int = 1000) -> Callable[[dict[str, int]], Answered]:
    def answer(asked: dict[str, int]) -> Answered:
        limit, offset = min(most, asked.get("limit", default)), asked.get("offset", 0)
        return Answered(ROWS[offset : offset + limit], limit=limit, offset=offset, totalCount=len(ROWS))

    return answer


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize(("most", "default"), [(1000, 1000), (10, 10), (4, 4), (1000, 7)])
@pytest.mark.parametrize("start", [0, 1])
async def test_rows_by_limit_and_offset(prefetch: int, most: int, default: int, start: int) -> None:
    """Whatever limit the server has by default, and at the most, each row comes once."""
    rows, asked = walk(by_offset(most, default), prefetch=prefetch, start_page=start)
    assert await rows.to_list() == ROWS[start * 10 :]
    assert "offset" not in asked[0]
    assert all("page" not in params for params in asked[1:])


@pytest.mark.parametrize("start", [0, 1, 2, 3])
@pytest.mark.parametrize("said", [{}, {"totalCount": 25}])
async def test_a_list_without_pages_comes_whole(start: int, said: dict[str, int]) -> None:
    """One request, and the walk ends; a start is counted in pages of the size that was asked for."""
    rows, asked = walk(lambda _asked: Answered(ROWS, **said), start_page=start)
    assert await rows.to_list() == ROWS[start * 10 :]
    assert len(asked) == 1


@pytest.mark.parametrize("size", [1, 9, 50])
@pytest.mark.parametrize("counted", [{}, {"totalCount": 400}])
@pytest.mark.parametrize("names", ["page", "offset"])
async def test_a_list_that_says_what_was_asked_and_repeats_itself_ends_in_an_error(
    size: int, counted: dict[str, int], names: str
) -> None:
    """A single small page may be pushed on by new items; a second one cannot."""

    def answer(asked: dict[str, Any]) -> Answered:
        if names == "page" and "page" in asked:
            return Answered(ROWS[:1] * size, page=asked["page"], perPage=size, **counted)
        return Answered(ROWS[:1] * size, limit=size, offset=asked.get("offset", 0), **counted)

    rows, asked = walk(answer, per_page=size)
    with pytest.raises(ResponseFormatError, match=r"the list makes no progress: .* repeats "):
        await rows.to_list()
    assert len(asked) <= 4


async def test_a_small_page_that_was_pushed_on_is_no_error() -> None:
    """Somebody has made an item that comes before."""
    rows, _ = walk(
        lambda asked: Answered([{"id": max(0, asked["page"] - 1)}], page=asked["page"], perPage=1, totalCount=4),
        per_page=1,
    )
    assert await rows.to_list() == [{"id": 0}, {"id": 0}, {"id": 1}, {"id": 2}]


async def test_an_empty_list_without_pages_ends() -> None:
    """Of no items."""
    rows, _ = walk(lambda _asked: Answered([]))
    assert await rows.to_list() == []
    assert await rows.count() == 0


@pytest.mark.parametrize("said", [{"totalCount": 25}, {"perPage": 10}, {"perPage": 10, "totalCount": 25}])
@pytest.mark.parametrize("pages", [[ROWS[:10]], [ROWS[:10], ROWS[10:20]]])
async def test_a_page_that_has_been_there_is_an_error(said: dict[str, int], pages: list[list[Any]]) -> None:
    """A list that ignores `page`, and says that there is more, would never end; nor one that goes round in circles."""
    if len(pages) > 1:
        said = said | ({"totalCount": 150} if "totalCount" in said else {})
    rows, asked = walk(lambda asked: Answered(pages[asked["page"] % len(pages)], **said))
    with pytest.raises(ResponseFormatError, match=f"page {len(pages)} repeats page 0"):
        await rows.to_list()
    assert len(asked) == len(pages) + 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda asked: Answered(ROWS[asked["page"] * 10 :][:5], page=asked["page"], perPage=10, totalCount=25),
        lambda asked: Answered(
            [] if asked["page"] == 1 else ROWS[asked["page"] * 10 :][:10], perPage=10, totalCount=25
        ),
        lambda asked: Answered(ROWS[asked["page"] * 10 :][:10], page=asked["page"], perPage=10, totalCount=10**9),
        lambda asked: Answered(
            ROWS[asked.get("offset", 0) :][:10], limit=10, offset=asked.get("offset", 0), totalCount=99
        ),
    ],
)
async def test_a_list_that_has_fewer_items_than_it_counts_is_an_error(answer: Any) -> None:
    """In the middle as well as at its end: items would be lost without a word."""
    rows, asked = walk(answer)
    with pytest.raises(ResponseFormatError, match="does not add up"):
        await rows.to_list()
    assert len(asked) < 10


@pytest.mark.parametrize("total", [{}, {"totalCount": 25}])
@pytest.mark.parametrize(("most", "size", "start"), [(6, 10, 1), (2, 3, 1), (7, 4, 3), (1, 5, 4)])
async def test_a_start_is_counted_in_items_whatever_the_limit(
    total: dict[str, int], most: int, size: int, start: int
) -> None:
    """A server that gives fewer at a time moves no start."""

    def answer(asked: dict[str, int]) -> Answered:
        limit, offset = min(most, asked.get("limit", most)), asked.get("offset", 0)
        return Answered(ROWS[offset : offset + limit], limit=limit, offset=offset, **total)

    rows, _ = walk(answer, per_page=size, start_page=start)
    assert await rows.to_list() == ROWS[start * size :]


async def test_pages_without_a_number_are_followed() -> None:
    """They say how many there are in all."""
    rows, _ = walk(lambda asked: Answered(ROWS[asked["page"] * 10 :][:10], totalCount=25))
    assert await rows.to_list() == ROWS
    few, _ = walk(lambda asked: Answered(ROWS[asked["page"] * 4 :][:4], page=asked["page"], totalCount=25))
    assert await few.to_list() == ROWS


async def test_an_offset_that_was_not_asked_for_is_an_error() -> None:
    """A server that ignores `offset` would give the first rows again and again."""
    rows, _ = walk(lambda _asked: Answered(ROWS[:10], limit=10, offset=0, totalCount=25))
    with pytest.raises(ResponseFormatError, match="makes no progress"):
        await rows.to_list()


async def test_the_emulators_lists_are_read(emulator: Emulator, losant: LosantClient) -> None:
    """Endpoints come whole, users in pages."""
    for n in range(120):
        emulator.create_experience_endpoint("get", f"/{n}")
        emulator.create_experience_user(f"{n:03}@example.com")
    root = f"/applications/{emulator.application_id}/experience"
    assert len(await losant.paginate(f"{root}/endpoints", per_page=50).to_list()) == 120
    assert len(emulator.requests) == 1
    emails = [user["email"] async for user in losant.paginate(f"{root}/users", per_page=50, prefetch=2)]
    assert emails == [f"{n:03}@example.com" for n in range(120)]
    page = await anext(losant.paginate(f"{root}/endpoints").by_page())
    assert page == Page(page.items, 0, 120, 120)


async def test_a_walk_with_look_ahead_that_is_dropped_asks_no_further() -> None:
    """Its tasks know nothing of who walks, so that it is collected."""

    def endless(asked: dict[str, int]) -> Answered:
        rows = [{"id": str(10 * asked["page"] + n)} for n in range(10)]
        return Answered(rows, page=asked["page"], perPage=10, totalCount=10_000)

    rows, asked = walk(endless, prefetch=4)
    async for _ in rows:
        break
    del rows
    gc.collect()
    for _ in range(10):
        await asyncio.sleep(0)
    before = len(asked)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(asked) == before <= 6
