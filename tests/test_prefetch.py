"""Pages that are requested ahead: in order, and none left on the way."""

import asyncio
import gc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiolosant import Page, TransportError

from .pages import Pages, numbered


@given(
    length=st.integers(0, 40),
    per_page=st.integers(1, 12),
    limit=st.integers(1, 12),
    prefetch=st.integers(0, 9),
    total=st.booleans(),
)
async def test_prefetch_yields_the_same_items(
    length: int, per_page: int, limit: int, prefetch: int, total: bool
) -> None:
    """The same items in the same order; with a total, no page is asked for that is not there."""
    pages = Pages(range(length), limit=limit, total=total)
    assert await numbered(pages.fetch, per_page, prefetch=prefetch).to_list() == list(range(length))
    if total and per_page <= limit:
        assert len(pages.asked) == max(1, -(-length // per_page))


async def test_further_pages_are_on_the_way_in_order() -> None:
    """The first page alone, then up to N more, each asked for once; a page that failed is asked for again."""
    pages = Pages(range(100))
    gate = asyncio.Event()
    fail = {3}

    async def fetch(number: int, per_page: int) -> Page[int]:
        page = await pages.fetch(number, per_page)
        if number in fail:
            fail.remove(number)
            raise TransportError("cut")
        if number:
            await gate.wait()
        return page

    walk = aiter(numbered(fetch, 10, prefetch=4))
    assert await anext(walk) == 0
    await asyncio.sleep(0)
    assert [number for number, _ in pages.asked] == [0, 1, 2, 3, 4]
    gate.set()
    seen = [await anext(walk) for _ in range(29)]
    with pytest.raises(TransportError):
        await anext(walk)
    seen += [item async for item in walk]
    assert seen == list(range(1, 100))
    assert Counter(number for number, _ in pages.asked) == {n: 2 if n == 3 else 1 for n in range(10)}


@pytest.mark.parametrize("leave", ["aclose", "del"])
async def test_a_page_that_failed_and_that_nobody_wanted_is_no_complaint(leave: str) -> None:
    """Looked ahead for, failed, and left: the fixture over all tests would hear of it."""
    pages = Pages(range(100))

    async def fetch(number: int, per_page: int) -> Page[int]:
        if number:
            raise TransportError("cut")
        return await pages.fetch(number, per_page)

    walk = aiter(numbered(fetch, 10, prefetch=4))
    await anext(walk)
    await asyncio.sleep(0)
    if leave == "aclose":
        await walk.aclose()
    del walk
    gc.collect()


async def test_closing_waits_for_what_is_on_the_way() -> None:
    """When `aclose` returns, nothing of the walk is under way any more."""
    pages = Pages(range(100))
    ended = 0

    async def fetch(number: int, per_page: int) -> Page[int]:
        nonlocal ended
        page = await pages.fetch(number, per_page)
        if number:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await asyncio.sleep(0)
                ended += 1
        return page

    walk = aiter(numbered(fetch, 10, prefetch=4))
    await anext(walk)
    await asyncio.sleep(0)
    await walk.aclose()
    assert ended == 4


async def test_a_server_that_gives_fewer_all_at_once() -> None:
    """The pages that were on the way are of the wrong size, and are asked for anew."""
    pages = Pages(range(100), limit=10)

    async def fetch(number: int, per_page: int) -> Page[int]:
        if number == 3 and per_page == 10:
            pages.limit = 5
        return await pages.fetch(number, per_page)

    assert await numbered(fetch, 10, prefetch=4).to_list() == list(range(100))


async def test_a_list_that_shrinks_leaves_nothing_on_the_way() -> None:
    """Pages that were asked for and are beyond the new end are not waited for."""
    pages = Pages(range(100))
    cancelled = 0

    async def fetch(number: int, per_page: int) -> Page[int]:
        nonlocal cancelled
        if number > 1:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cancelled += 1
        if number == 1:
            pages.items = list(range(20))
        return await pages.fetch(number, per_page)

    assert await numbered(fetch, 10, prefetch=4).to_list() == list(range(20))
    await asyncio.sleep(0)
    assert cancelled == 3


@pytest.mark.parametrize("leave", ["break", "aclose", "del"])
async def test_leaving_stops_what_is_on_the_way(leave: str) -> None:
    """However a consumer leaves, the pages on the way are cancelled, and no more are asked for."""
    pages = Pages(range(1000))
    cancelled = 0

    async def fetch(number: int, per_page: int) -> Page[int]:
        nonlocal cancelled
        page = await pages.fetch(number, per_page)
        if number:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cancelled += 1
        return page

    if leave == "break":
        async for _ in numbered(fetch, 10, prefetch=8):
            await asyncio.sleep(0)
            break
    else:
        walk = aiter(numbered(fetch, 10, prefetch=8))
        await anext(walk)
        await asyncio.sleep(0)
        if leave == "aclose":
            await walk.aclose()
        del walk
    await asyncio.sleep(0)
    assert cancelled == 8
    assert len(pages.asked) == 9
