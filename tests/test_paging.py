"""Walking lists, over pages made up on the spot."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiolosant import Page, ResponseFormatError, TransportError

from .pages import Pages, numbered


@given(
    length=st.integers(0, 40),
    per_page=st.integers(1, 12),
    limit=st.integers(1, 12),
    start_page=st.integers(0, 4),
    total=st.booleans(),
)
async def test_any_page_size_gives_the_same_walk(
    length: int, per_page: int, limit: int, start_page: int, total: bool
) -> None:
    """Whatever is asked for and whatever the server makes of it, each item comes once and in order."""
    pages = Pages(range(length), limit=limit, total=total)
    walked = await pages.paginator(per_page, start_page).to_list()
    assert walked == list(range(length))[start_page * per_page :]


async def test_a_page_is_asked_for_when_its_first_item_is() -> None:
    """Nothing before the first item, one page for its items, the next page for item 101, none after a break."""
    pages = Pages(range(250))
    paginator = pages.paginator()
    assert len(pages.asked) == 0
    seen = 0
    async for _ in paginator:
        seen += 1
        assert len(pages.asked) == (seen - 1) // 100 + 1
        if seen == 120:
            break
    await asyncio.sleep(0)
    assert pages.asked == [(0, 100), (1, 100)]


async def test_the_last_page_is_known_by_the_total() -> None:
    """With a total no page is asked for beyond it; without one, a short page ends the walk."""
    full = Pages(range(200))
    await full.paginator().to_list()
    assert len(full.asked) == 2
    unknown = Pages(range(150), total=False)
    await unknown.paginator().to_list()
    assert len(unknown.asked) == 2


async def test_each_async_for_starts_afresh() -> None:
    """A paginator can be walked twice; the same items come."""
    paginator = Pages(range(150)).paginator()
    assert [item async for item in paginator] == [item async for item in paginator]


@pytest.mark.parametrize("middle", [(), (3,)])
async def test_a_page_in_the_middle_that_lacks_items_is_an_error(middle: tuple[int, ...]) -> None:
    """More are counted behind it, so that what is missing was not merely deleted at the end."""
    pages = [Page((1, 2), 0, 2, 6), Page(middle, 1, 2, 6), Page((5, 6), 2, 2, 6)]

    async def fetch(number: int, _per_page: int) -> Page[int]:
        return pages[number]

    with pytest.raises(ResponseFormatError, match=f"page 1 of 2 items each has {len(middle)}, and 6 are counted"):
        await numbered(fetch, 2).to_list()


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([Page((1, 2), 0, 2, 0), Page((3,), 1, 2, 0)], [1, 2, 3]),
        ([Page((1, 2), 0, 2, -5), Page((3, 4), 1, 2, 1), Page[int]((), 2, 2, 1)], [1, 2, 3, 4]),
        ([Page((1, 2), 0, 2, 3), Page[int]((), 1, 2, 3), Page((3,), 1, 2, 3)], [1, 2, 3]),
        ([Page((1,), 0, 2, 2), Page((1, 2), 0, 2, 2)], [1, 2]),  # read before a create and counted after it
        ([Page((1, 2), 0, 2, 4), Page((3,), 1, 2, 4), Page((3,), 1, 2, 3)], [1, 2, 3]),
        ([Page((1, 2), 0, 2, 3), Page[int]((), 1, 2, 3), Page[int]((), 1, 2, 2)], [1, 2]),  # gone meanwhile
        ([Page((1, 2), 0, 2, 4), Page[int]((), 1, 2, 2)], [1, 2]),  # likewise
    ],
)
async def test_a_wrong_count_costs_no_item(pages: list[Page[int]], expected: list[int]) -> None:
    """It was made at another moment than the page was read: what is given is believed rather than what is counted."""
    answers = iter(pages)

    async def fetch(_number: int, _per_page: int) -> Page[int]:
        return next(answers)

    assert await numbered(fetch, 2).to_list() == expected
    assert next(answers, None) is None


@pytest.mark.parametrize("page", [Page((1,), 0, 1000, 30), Page((1,), 0, 2, 2)])
async def test_a_list_that_does_not_add_up_is_an_error(page: Page[int]) -> None:
    """More is counted than is given, again and again: what is missing is not passed over in silence."""

    async def fetch(_number: int, _per_page: int) -> Page[int]:
        return page

    with pytest.raises(ResponseFormatError, match=r"has 1, and .* are counted in all"):
        await numbered(fetch, 2).to_list()


@pytest.mark.parametrize("total", [3, 4, 9, 10**9])
async def test_empty_pages_to_the_end_of_the_count_are_an_error(total: int) -> None:
    """At the first of them, however many are counted."""

    async def fetch(number: int, _per_page: int) -> Page[int]:
        return Page((1, 2) if number == 0 else (), number, 2, total)

    walk = aiter(numbered(fetch, 2))
    assert [await anext(walk), await anext(walk)] == [1, 2]
    with pytest.raises(ResponseFormatError, match=f"page 1 of 2 items each has 0, and {total} are counted"):
        await anext(walk)


async def test_the_newest_total_is_followed() -> None:
    """A list that shrinks while it is walked ends where it ends now."""
    pages = [Page((1, 2), 0, 2, 100), Page((3,), 1, 2, 3)]

    async def fetch(number: int, _per_page: int) -> Page[int]:
        return pages[number]

    assert await numbered(fetch, 2).to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    "page",
    [
        Page((1,), 0, 0, 100),  # pages without a size
        Page((1,), 7, 100, 200),  # another page than was asked for
        Page((1, 2, 3), 0, 2, 200),  # more than a page holds
    ],
)
async def test_no_progress_is_an_error(page: Page[int]) -> None:
    """A server whose pages lead nowhere does not make us walk for ever."""

    async def fetch(_number: int, _per_page: int) -> Page[int]:
        return page

    with pytest.raises(ResponseFormatError, match="no progress"):
        await numbered(fetch).to_list()


async def test_a_server_that_ignores_the_page_number_is_noticed() -> None:
    """The first page again and again would be the same items again and again."""

    async def fetch(_number: int, _per_page: int) -> Page[int]:
        return Page((1, 2), 0, 2, 100)

    walk = aiter(numbered(fetch, 2))
    assert [await anext(walk), await anext(walk)] == [1, 2]
    with pytest.raises(ResponseFormatError, match="asked for page 1, the answer is page 0"):
        await anext(walk)


async def test_a_page_that_failed_is_asked_for_again_by_going_on() -> None:
    """A failure ends nothing: the same iterator goes on where it was."""
    pages = Pages(range(4))
    failures = iter([False, True, True, False])

    async def fetch(number: int, per_page: int) -> Page[int]:
        if next(failures):
            raise TransportError("cut")
        return await pages.fetch(number, per_page)

    walk = aiter(numbered(fetch, 2))
    assert [await anext(walk), await anext(walk)] == [0, 1]
    for _ in range(2):
        with pytest.raises(TransportError):
            await anext(walk)
    assert [item async for item in walk] == [2, 3]


async def test_by_page_yields_pages() -> None:
    """`by_page` gives what the server said of each page."""
    pages = [page async for page in Pages(range(5)).paginator(2).by_page()]
    assert pages == [Page((0, 1), 0, 2, 5), Page((2, 3), 1, 2, 5), Page((4,), 2, 2, 5)]


async def test_first_count_and_limit_ask_for_no_more_than_they_need() -> None:
    """`first` asks for one item, `count` for one page, a limited list for the pages it needs."""
    pages = Pages(range(1000))
    assert await pages.paginator().first() == 0
    assert await pages.paginator(100, start_page=3).first() == 300
    assert await pages.paginator().count() == 1000
    assert [per_page for _, per_page in pages.asked] == [1, 1, 1]
    assert await pages.paginator().to_list(limit=200) == list(range(200))
    assert await pages.paginator().to_list(limit=0) == []
    assert len(pages.asked) == 5
    assert await Pages([]).paginator().first() is None
    with pytest.raises(ValueError, match="limit must be 0 or more"):
        await pages.paginator().to_list(limit=-1)
    with pytest.raises(ResponseFormatError, match="totalCount"):
        await Pages([], total=False).paginator().count()


async def test_a_walk_can_be_closed() -> None:
    """After `aclose`, or at the end of `async with`, there is nothing more in a walk."""
    async with aiter(Pages(range(5)).paginator()) as walk:
        assert await anext(walk) == 0
    assert [item async for item in walk] == []
    async with Pages(range(5)).paginator(2).by_page() as by_page:
        await anext(by_page)
    assert [page async for page in by_page] == []


async def test_two_consumers_of_one_walk_are_told() -> None:
    """Two tasks that share an iterator would get the same page twice."""
    gate = asyncio.Event()

    async def fetch(number: int, per_page: int) -> Page[int]:
        await gate.wait()
        return Page((number,), number, per_page, 1)

    walk = aiter(numbered(fetch))
    first = asyncio.create_task(anext(walk))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="needs a walk of its own"):
        await anext(walk)
    gate.set()
    assert await first == 0


async def test_closing_a_walk_that_waits_ends_it() -> None:
    """What arrives after `aclose` is not given out any more."""
    gate = asyncio.Event()

    async def fetch(number: int, per_page: int) -> Page[int]:
        await gate.wait()
        return Page((number,), number, per_page, 1)

    walk = aiter(numbered(fetch))
    waiting = asyncio.create_task(anext(walk, None))
    await asyncio.sleep(0)
    await walk.aclose()
    gate.set()
    assert await waiting is None
    assert [item async for item in walk] == []


@pytest.mark.parametrize("limit", [1.5, "3", True])
async def test_a_limit_is_an_integer(limit: object) -> None:
    """A limit that is none would otherwise be no limit."""
    with pytest.raises(TypeError, match="limit must be an integer"):
        await Pages(range(5)).paginator().to_list(limit=limit)  # type: ignore[arg-type]  # it is what the test is about
