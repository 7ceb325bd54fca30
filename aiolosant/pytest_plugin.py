"""Fixtures for your own tests, opted into with `pytest_plugins = ["aiolosant.pytest_plugin"]` in a `conftest.py`.

They need `pytest-asyncio`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from .client import LosantClient
from .emulator import Emulator


@pytest_asyncio.fixture
async def losant_emulator() -> AsyncIterator[Emulator]:
    """An emulated Losant of the test's own, empty, on a port of its own."""
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def losant_client(losant_emulator: Emulator) -> AsyncIterator[LosantClient]:
    """A client of `losant_emulator` and its application."""
    client = LosantClient(
        losant_emulator.token, application_id=losant_emulator.application_id, base_url=losant_emulator.url
    )
    async with client:
        yield client
