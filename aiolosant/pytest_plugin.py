"""Fixtures for your own tests, opted into with `pytest_plugins = ["aiolosant.pytest_plugin"]` in a `conftest.py`.

`losant_emulator` and `losant_server` work in every test, synchronous ones too. `losant_client` is for tests that run in
an event loop, of pytest-asyncio or of anyio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from .client import LosantClient
from .emulator import Emulator

try:
    import pytest_asyncio
except ModuleNotFoundError:  # then anyio, if anything, runs asynchronous fixtures
    _async_fixture: Any = pytest.fixture
else:
    _async_fixture = pytest_asyncio.fixture


@pytest.fixture
def losant_emulator() -> Iterator[Emulator]:
    """An emulated Losant of the test's own: empty, strict, on a port of its own, ids the same in each run."""
    with Emulator(strict=True, seed=0) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def losant_server() -> Iterator[Emulator]:
    """One emulated Losant for all tests, as strict; `losant_server.reset()` makes it as new."""
    with Emulator(strict=True, seed=0) as emulator:
        yield emulator


@pytest.fixture
def losant_client_options() -> dict[str, Any]:
    """Arguments of `losant_client` beside the emulator's. Define a fixture of this name to change them."""
    return {}


@_async_fixture  # type: ignore[untyped-decorator]  # one of two
async def losant_client(
    losant_emulator: Emulator, losant_client_options: dict[str, Any]
) -> AsyncIterator[LosantClient]:
    """A client of `losant_emulator` and its application."""
    arguments: dict[str, Any] = {
        "token": losant_emulator.token,
        "application_id": losant_emulator.application_id,
        "base_url": losant_emulator.url,
        "trust_env": False,  # a proxy has nothing to do with it
    }
    async with LosantClient(**arguments | losant_client_options) as client:
        yield client
