"""Fixtures of all tests: an emulator, a client of it, and a watch over what is left behind."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

# aiohttp reads it when it is imported, and then tells of unclosed sessions. The event loops stay as fast as they are.
os.environ["PYTHONASYNCIODEBUG"] = "1"
import aiohttp  # noqa: F401 - for what it reads

del os.environ["PYTHONASYNCIODEBUG"]

import pytest
from hypothesis import HealthCheck, settings

from aiolosant import LosantClient
from aiolosant.emulator import Emulator

from .served import Served

# A busy machine takes its time, which is no error of what is tested.
settings.register_profile("aiolosant", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aiolosant")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run five tests at a time, if pytest-xdist is there and nothing else is said.

    Most of the time tests wait, for processes and for the clocks of servers: five do so side by side on two cores.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_worker and config.getoption("numprocesses", 0) is None and not config.getoption("usepdb"):
        config.option.numprocesses = 5


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """No test may leave a task, or an error that nobody was told of."""
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 10  # the machine may be slow; that is no error
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    before = asyncio.all_tasks()
    yield
    for _ in range(10):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}
    assert not complaints


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def losant(emulator: Emulator) -> AsyncIterator[LosantClient]:
    async with client_of(emulator) as losant:
        yield losant


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


def client_of(emulator: Emulator, **options: Any) -> LosantClient:
    """A client of the emulator's own application."""
    arguments = {"application_id": emulator.application_id, "base_url": emulator.url} | options
    return LosantClient(arguments.pop("token", emulator.token), **arguments)
