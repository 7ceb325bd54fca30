"""The fixtures for users' own tests, used as a user would."""

import pytest

pytest_plugins = ["pytester"]

WITH_ASYNCIO = """
import pytest
from aiolosant import LosantClient, NewExperienceGroup, NotFoundError, by_name
from aiolosant.emulator import Emulator, Fault

pytestmark = pytest.mark.asyncio


async def test_a_group_is_made_once(losant_emulator: Emulator, losant_client: LosantClient) -> None:
    losant_emulator.inject(Fault.CUT_AFTER_WRITE, method="POST")
    await losant_client.experience_groups.create(NewExperienceGroup("Plant 1"), unique_by=by_name())
    assert await losant_client.experience_groups.list().count() == 1


async def test_each_test_starts_empty(losant_client: LosantClient) -> None:
    assert await losant_client.experience_groups.list().count() == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_a_wider_loop_has_them_too(losant_client: LosantClient) -> None:
    assert await losant_client.experience_groups.list().count() == 0


@pytest.fixture
def losant_client_options(request):
    return {"application_id": "f" * 24} if "options" in request.node.name else {}


async def test_the_options_are_the_clients(losant_client: LosantClient) -> None:
    with pytest.raises(NotFoundError):
        await losant_client.experience_groups.list().count()
"""

WITHOUT_A_LOOP = """
import asyncio
from aiolosant import LosantClient, NewExperienceGroup
from losant_rest import client as losant_rest


def client_of(emulator):
    return LosantClient(emulator.token, application_id=emulator.application_id, base_url=emulator.url)


def test_losants_own_client_in_a_synchronous_test(losant_emulator):
    api = losant_rest.Client(auth_token=losant_emulator.token, url=losant_emulator.url)
    path = {"applicationId": losant_emulator.application_id}
    api.experience_groups.post(**path, experienceGroup={"name": "Plant 1"})
    assert api.experience_groups.get(**path)["items"][0]["name"] == "Plant 1"


def test_a_loop_of_its_own(losant_emulator):
    async def work():
        async with client_of(losant_emulator) as losant:
            await losant.experience_groups.create(NewExperienceGroup("Plant 1"))

    asyncio.run(work())
    assert [group["name"] for group in losant_emulator.groups()] == ["Plant 1"]


def test_the_shared_server_keeps_what_it_has(losant_server):
    losant_server.create_groups([{"name": "a"}])


def test_until_it_is_reset(losant_server):
    assert len(losant_server.groups()) == 1
    losant_server.reset()
    assert losant_server.groups() == []
"""

WITH_ANYIO = """
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_in_a_loop_of_anyio(losant_client):
    assert await losant_client.experience_groups.list().count() == 0
"""


def run(pytester: pytest.Pytester, test: str, *arguments: str, mode: str | None) -> pytest.RunResult:
    pytester.makeconftest('pytest_plugins = ["aiolosant.pytest_plugin"]')
    pytester.makepyfile(test)
    asyncio_settings = [f"asyncio_mode = {mode}", "asyncio_default_fixture_loop_scope = function"] if mode else []
    pytester.makeini("\n".join(["[pytest]", *asyncio_settings, "filterwarnings = error"]))
    unused = [f"-pno:{plugin}" for plugin in ("hypothesispytest", "xdist", "timeout")]  # they take long to import
    return pytester.runpytest_subprocess(*unused, *arguments)


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixtures_work_in_a_users_project(pytester: pytest.Pytester, mode: str) -> None:
    """One line in conftest.py gives an emulator and a client to each test, in either mode of pytest-asyncio."""
    run(pytester, WITH_ASYNCIO, mode=mode).assert_outcomes(passed=4)


@pytest.mark.parametrize("installed", [True, False])
def test_the_fixtures_work_without_a_loop(pytester: pytest.Pytester, installed: bool) -> None:
    """In synchronous tests, and where pytest-asyncio is not even installed."""
    if not installed:
        pytester.makepyfile(pytest_asyncio="raise ModuleNotFoundError('No module named pytest_asyncio')")
        pytester.syspathinsert()
    arguments = [] if installed else ["-p", "no:asyncio"]
    ended = run(pytester, WITHOUT_A_LOOP, *arguments, mode="auto" if installed else None)
    ended.assert_outcomes(passed=4)


def test_the_fixtures_work_with_anyio_alone(pytester: pytest.Pytester) -> None:
    """Its plugin runs asynchronous fixtures too."""
    pytester.makepyfile(pytest_asyncio="raise ModuleNotFoundError('No module named pytest_asyncio')")
    pytester.syspathinsert()
    run(pytester, WITH_ANYIO, "-p", "no:asyncio", mode=None).assert_outcomes(passed=1)


def test_the_fixtures_work_with_anyio_beside_pytest_asyncio(pytester: pytest.Pytester) -> None:
    """Both are installed, and the test is anyio's."""
    run(pytester, WITH_ANYIO, mode="strict").assert_outcomes(passed=1)
