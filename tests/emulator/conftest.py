"""Fixtures of the emulator's own tests."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from aiolosant.emulator import Emulator

from .api import Api


@pytest.fixture
async def api(emulator: Emulator) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(emulator, session)
