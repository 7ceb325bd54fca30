"""What docs/migrations.md and docs/exactly-once.md show is run."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from aiolosant import LosantClient
from aiolosant.emulator import Emulator

from .served import Served

DOCS = Path(__file__).parent.parent / "docs"


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)


CUSTOMERS = (
    "id,parentId,name,description,groupTags.externalId\n"
    "acme,,Acme,new,1001\nplant,acme,Plant 2,,1002\nglobex,,Globex,,1003\n"
)


@pytest.fixture
def customers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "customers.csv"
    file.write_text(CUSTOMERS)
    return file


def test_the_night_goes_as_it_is_told(served: Served, customers: Path) -> None:
    """Each command line, in order, against a server; at the end all is as it was."""
    served.emulator.create_groups(
        [
            {"id": "a", "name": "Acme", "description": "old", "groupTags": {"externalId": "1001"}},
            {"name": "Europe", "parentId": "a", "groupTags": {"externalId": "77"}},
            {"name": "Globex", "groupTags": {"externalId": "1003"}},
        ]
    )
    before = served.paths()
    codes = {"check": 0, "plan": 3, "rehearse": 0, "apply": 0, "undo": 0}
    for command in "".join(blocks("migrations.md", "console")[1:]).splitlines():
        _, program, name, *arguments = shlex.split(command)
        assert program == "aiolosant"
        dry = "--dry-run" in arguments
        asked = name in ("apply", "undo") and not dry
        result = served.run(name, *arguments, stdin="y\n" if asked else None)
        assert result.exit_code == (3 if dry else codes[name]), (command, result.output)
        if name == "apply":
            assert served.paths() != before
    assert served.paths() == before
    assert {path.name for path in Path("night").iterdir()} == {"journal.jsonl", "done.csv", "failed.csv", "ids.json"}


async def test_the_program_runs(losant: LosantClient, customers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It migrates, tells each difference, and takes all back."""
    *_, program = blocks("migrations.md", "python")
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own page
    await names["migrate"](losant, str(customers))
    assert await losant.experience_groups.list().count() == 3
    assert "('Acme',) description None -> new" in capsys.readouterr().out
    await names["take_back"](losant)
    assert await losant.experience_groups.list().count() == 0


async def test_twins_are_found(emulator: Emulator, losant: LosantClient) -> None:
    """By their tag, oldest first."""
    (program,) = blocks("exactly-once.md", "python")
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own page
    emulator.create_groups([{"name": f"{n}", "groupTags": {"key": "same" if n < 2 else "other"}} for n in range(3)])
    (twins,) = await names["twins"](losant, "key")
    assert [twin.name for twin in twins] == ["0", "1"]


def test_a_customers_list_goes_from_start_to_end(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With levels, e-mails and device names, in a spreadsheet's CSV: the second plan is empty."""
    monkeypatch.chdir(tmp_path)
    users = {
        name: served.emulator.create_experience_user(name)
        for name in ("ann@acme.example", "bob@acme.example", "eve@globex.example")
    }
    devices = {name: served.emulator.create_device(name) for name in ("Pumpe 1", "Waage")}
    Path("kunden.toml").write_text(blocks("files.md", "toml")[0], encoding="utf-8")
    Path("kunden.csv").write_text(blocks("files.md", "text")[0], encoding="utf-8-sig")
    codes = iter([0, 3, 0, 0, 0])
    for command in "".join(blocks("files.md", "console")).splitlines():
        result = served.run(*shlex.split(command)[2:])
        assert result.exit_code == next(codes), (command, result.output)
    assert served.paths() == {"Acme": 1, "Acme/Hafen": 1, "Acme/Hafen/Tor 1": 1, "Globex": 1}
    harbour = next(group for group in served.groups() if group["name"] == "Hafen")
    assert harbour["experienceUserIds"] == [users["ann@acme.example"], users["bob@acme.example"]]
    assert harbour["deviceIds"] == [devices["Pumpe 1"]]
    assert harbour["groupTags"] == {"externalId": "1002"}
    assert Path("kunden-live.csv").read_bytes().startswith(b"\xef\xbb\xbf")
