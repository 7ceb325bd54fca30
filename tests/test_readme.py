"""The README keeps its word."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from aiolosant import LosantClient, NewExperienceGroup, RetryPolicy
from aiolosant.emulator import Emulator

from .conftest import client_of
from .served import Served

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("guide", "service", "migrations")
}
ALL_BLOCKS = re.findall(r"```python\n(.*?)```", "\n".join([README, *PAGES.values()]), re.DOTALL)
# By what each defines, so that they can be put in another order.
BLOCKS = {re.findall(r"^async def (\w+)", block, re.MULTILINE)[0]: block for block in ALL_BLOCKS}

# Each command of the session, and what it prints.
_CONSOLE, *_ = re.findall(r"```console\n(.*?)```", PAGES["migrations"], re.DOTALL)
SESSION = [tuple(part.split("\n", 1)) for part in _CONSOLE.split("$ ")[1:]]


def test_the_two_commands_are_as_promised() -> None:
    """The first two commands are the demo and the tests, each for a fresh machine."""
    assert re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)[:2] == [
        "python3 -m venv .venv && .venv/bin/pip install '.[cli]' && .venv/bin/aiolosant demo",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest",
    ]


async def test_the_service_runs(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service signs a customer up once, however often it is asked, and shows the group."""
    set_environment(emulator, monkeypatch)
    monkeypatch.setenv("LOSANT_SETTLE_TIME", "0.05")
    names: dict[str, Any] = {"__name__": "readme"}
    exec(BLOCKS["losant"], names)  # noqa: S102 - our own README
    async with TestClient(TestServer(names["service"]())) as client:
        answers = [await client.post("/customers", json={"company": "Acme", "customer": "7"}) for _ in range(2)]
        (group,) = {(await answer.json())["group"] for answer in answers}
        shown = await client.get(f"/groups/{group}")
        assert await shown.json() == {"name": "Acme", "tags": {"customerId": "7"}}
        assert (await client.post("/customers", data="no JSON")).status == 422
        refused = await client.post("/customers", json={"company": "Acme"})
        assert (refused.status, await refused.text()) == (422, "not a valid order: 'customer'")
        assert (await client.get(f"/groups/{'0' * 24}")).status == 404
        assert await (await client.get("/groups")).json() == [{"id": group, "name": "Acme"}]
        assert await (await client.get("/groups", params={"after": group})).json() == []
        assert (await client.get("/groups", params={"after": "x"})).status == 422


async def test_the_migration_runs(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program imports the file of the session at the command line; once more, and nothing is left to do."""
    set_environment(emulator, monkeypatch)
    file = tmp_path / "customers.csv"
    file.write_text(dict(SESSION)["cat customers.csv"])
    names: dict[str, Any] = {"__name__": "readme"}
    exec(BLOCKS["import_file"], names)  # noqa: S102 - our own README
    for _ in range(2):
        await names["import_file"](str(file))
    assert capsys.readouterr().out == "2 to create, 0 unchanged\n2 unchanged\n"


def test_the_session_is_real(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the session prints what the README says."""
    monkeypatch.chdir(tmp_path)
    for command, shown in SESSION:
        program, *arguments = shlex.split(command)
        if program == "cat":
            Path(arguments[0]).write_text(shown)
        else:
            assert program == "aiolosant"
            assert served.run(*arguments).stdout == shown


async def test_tenants_are_created(losant: LosantClient, capsys: pytest.CaptureFixture[str]) -> None:
    """The batch makes them all, and again finds them."""
    names: dict[str, Any] = {}
    exec(BLOCKS["create_tenants"], names)  # noqa: S102 - our own README
    for _ in range(2):
        await names["create_tenants"](losant, 30)
    assert capsys.readouterr().out == "30 created, 0 there already\n0 created, 30 there already\n"


async def test_many_are_changed(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Tidied, renamed, deleted, and with a member and a tag more."""
    ids = emulator.create_groups([{"id": f"{n}", "name": f" {n} "} for n in range(4)])
    names: dict[str, Any] = {}
    exec(BLOCKS["rename_and_tidy"], names)  # noqa: S102 - our own README
    renamed = {ids[f"{n}"]: f"New {n}" for n in range(3)}
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.05)) as losant:
        await names["rename_and_tidy"](losant, renamed, [ids["3"]], "a" * 24)
    assert capsys.readouterr().out == "3 tidy, 0 failed\n"
    groups = emulator.groups()
    assert [(group["name"], group["experienceUserIds"], group["groupTags"]) for group in groups] == [
        (f"New {n}", ["a" * 24], {"region": "eu"}) for n in range(3)
    ]


async def test_the_verbs_run(losant: LosantClient, capsys: pytest.CaptureFixture[str]) -> None:
    """The verbs run one after the other, and the last prints the error that it shows."""
    names: dict[str, Any] = {}
    exec(BLOCKS["one_group"], names)  # noqa: S102 - our own README
    await names["one_group"](losant)
    assert capsys.readouterr().out.startswith("Plant 1 Köln\n404 NotFound: Experience Group was not found (GET /appl")


async def test_the_question_is_answered(losant: LosantClient) -> None:
    """The README's query finds what it says."""
    for name, region in (("Acme", "eu"), ("Test 1", "eu"), ("Beta", "us"), ("Cider", "uk")):
        await losant.experience_groups.create(NewExperienceGroup(name, group_tags={"region": region}))
    names: dict[str, Any] = {}
    exec(BLOCKS["european_customers"], names)  # noqa: S102 - our own README
    assert await names["european_customers"](losant) == ["Acme", "Cider"]


async def test_the_rest_of_the_api_is_reached(emulator: Emulator, losant: LosantClient) -> None:
    """The README's devices."""
    pump = emulator.create_device("Pump")
    names: dict[str, Any] = {}
    exec(BLOCKS["devices"], names)  # noqa: S102 - our own README
    assert await names["devices"](losant, emulator.application_id) == {pump: "Pump"}


async def test_the_first_lines_run(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They create, and list what they created."""
    set_environment(emulator, monkeypatch)
    names: dict[str, Any] = {}
    exec(BLOCKS["list_groups"], names)  # noqa: S102 - our own README
    await names["create_groups"](["Plant 1", "Plant 2"])
    await names["list_groups"]()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["created", "created"]
    assert "Plant 1 {'key': 'Plant 1'}" in lines[2]


def test_the_service_of_fastapi_runs(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sign-ups of one customer are one group; what is out of reach is a 503."""
    testclient = pytest.importorskip("fastapi.testclient")
    set_environment(emulator, monkeypatch)
    monkeypatch.setenv("LOSANT_SETTLE_TIME", "0.05")
    names: dict[str, Any] = {}
    exec(compile(BLOCKS["lifespan"].replace("from __future__", "#"), "service", "exec"), names)  # noqa: S102 - our own page
    with testclient.TestClient(names["api"]) as client:
        answers = [client.post("/customers", json={"company": "Acme", "customer": "7"}) for _ in range(2)]
        assert {answer.json()["group"] for answer in answers} == {group["id"] for group in emulator.groups()}
        emulator.revoke_token(emulator.token)
        assert client.post("/customers", json={"company": "B", "customer": "8"}).status_code == 503


def test_every_block_is_run_here() -> None:
    """A new block needs a new test."""
    tested = {
        "losant",
        "import_file",
        "create_tenants",
        "rename_and_tidy",
        "one_group",
        "european_customers",
        "devices",
    }
    tested |= {"list_groups", "lifespan", "migrate"}  # the last in test_docs_migrations.py
    assert set(BLOCKS) == tested
    assert len(BLOCKS) == len(ALL_BLOCKS)


def set_environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSANT_API_TOKEN", emulator.token)
    monkeypatch.setenv("LOSANT_APPLICATION_ID", emulator.application_id)
    monkeypatch.setenv("LOSANT_API_URL", emulator.url)
