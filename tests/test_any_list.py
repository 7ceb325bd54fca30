"""`paginate`: every kind of list that Losant has, told by its answers alone."""

from collections.abc import Callable
from typing import Any

import pytest

from aiolosant import LosantClient, Page, ResponseFormatError
from aiolosant._paging.numbered import paginated
from aiolosant._paging.offset import AnyList
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
    return paginated(AnyList(ask).fetch, **arguments), asked


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
    assert start or len(asked) == 1


async def test_an_empty_list_without_pages_ends() -> None:
    """Of no items."""
    rows, _ = walk(lambda _asked: Answered([]))
    assert await rows.to_list() == []
    assert await rows.count() == 0


@pytest.mark.parametrize("said", [{"totalCount": 25}, {"perPage": 10}, {"perPage": 10, "totalCount": 25}])
async def test_a_page_that_repeats_the_one_before_is_an_error(said: dict[str, int]) -> None:
    """A list that ignores `page`, and says that there is more, would never end."""
    rows, asked = walk(lambda _asked: Answered(ROWS[:10], **said))
    with pytest.raises(ResponseFormatError, match="page 1 repeats the one before"):
        await rows.to_list()
    assert len(asked) == 2


async def test_pages_without_a_number_are_followed() -> None:
    """They say how many there are in all."""
    rows, _ = walk(lambda asked: Answered(ROWS[asked["page"] * 10 :][:10], totalCount=25))
    assert await rows.to_list() == ROWS


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
