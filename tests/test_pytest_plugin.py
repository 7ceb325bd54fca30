"""The fixtures for users' own tests, used as a user would."""

import pytest

pytest_plugins = ["pytester"]

USERS_TEST = """
import pytest
from aiolosant import LosantClient, NewExperienceGroup, by_name
from aiolosant.emulator import Emulator, Fault

pytestmark = pytest.mark.asyncio


async def test_a_group_is_made_once(losant_emulator: Emulator, losant_client: LosantClient) -> None:
    losant_emulator.inject(Fault.CUT_AFTER_WRITE, method="POST")
    await losant_client.experience_groups.create(NewExperienceGroup("Plant 1"), unique_by=by_name())
    assert await losant_client.experience_groups.list().count() == 1


async def test_each_test_starts_empty(losant_client: LosantClient) -> None:
    assert await losant_client.experience_groups.list().count() == 0
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixtures_work_in_a_users_project(pytester: pytest.Pytester, mode: str) -> None:
    """One line in conftest.py gives an emulator and a client to each test, in either mode of pytest-asyncio."""
    pytester.makeconftest('pytest_plugins = ["aiolosant.pytest_plugin"]')
    pytester.makepyfile(USERS_TEST)
    settings = ["asyncio_default_fixture_loop_scope = function", "filterwarnings = error"]
    pytester.makeini("\n".join(["[pytest]", f"asyncio_mode = {mode}", *settings]))
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
