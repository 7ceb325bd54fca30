"""The programs of examples/ run."""

import json
import os
import subprocess
import sys
from pathlib import Path

from aiolosant.emulator import Emulator

EXAMPLES = Path(__file__).parent.parent / "examples"


def variables_of(emulator: Emulator) -> dict[str, str]:
    return {
        "LOSANT_API_URL": emulator.url,
        "LOSANT_API_TOKEN": emulator.token,
        "LOSANT_APPLICATION_ID": emulator.application_id,
    }


def test_the_service_is_that_of_the_page() -> None:
    """Which is run by the tests of the pages."""
    page = (EXAMPLES.parent / "docs" / "service.md").read_text(encoding="utf-8")
    assert (EXAMPLES / "service.py").read_text(encoding="utf-8").partition("\n\n")[2] in page


def test_the_migration_runs_and_is_taken_back(emulator: Emulator, tmp_path: Path) -> None:
    """A second time there is nothing to do; and what is wrong with a file is said before anything is written."""
    file, wrong = tmp_path / "customers.csv", tmp_path / "wrong.csv"
    file.write_text("id,parentId,name,groupTags.key\n1,,Acme,a\n2,1,Plant,b\n")
    wrong.write_text("id,parentId,name,groupTags.key\n1,7,Acme,a\n")
    said = []
    for arguments in ([str(wrong)], [str(file)], [str(file)], [str(file), "--undo"]):
        command = [sys.executable, str(EXAMPLES / "migration.py"), *arguments]
        environment = os.environ | variables_of(emulator)
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)  # noqa: S603 - ours
        said.append((ended.returncode, ended.stdout.splitlines()[0]))
    assert said[0][0] == 2
    assert said[1:] == [(0, "2 to create, 0 unchanged"), (0, "2 unchanged"), (0, "2 to delete, 0 unchanged")]
    assert emulator.groups() == []


def test_the_nightly_sync_runs(emulator: Emulator, tmp_path: Path) -> None:
    """Twice: the second night changes what has changed. Far more than usual needs a number."""
    variables = variables_of(emulator)
    file = tmp_path / "customers.json"
    said = []
    for city in ("K\u00f6ln", "Bonn"):
        file.write_text(json.dumps([{"id": 7, "company": "Acme", "city": city}, {"id": 8, "company": "Bolt"}]))
        command = [sys.executable, str(EXAMPLES / "nightly_sync.py"), str(file)]
        ended = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)  # noqa: S603 - ours
        assert ended.returncode == 0, ended.stderr
        said.append(ended.stdout)
    assert said == ["2 to create, 0 unchanged\n", "1 to update, 1 unchanged\n"]
    file.write_text(json.dumps([{"id": n, "company": f"New {n}"} for n in range(20, 40)]))
    emulator.create_groups([{"name": f"{n}"} for n in range(10)])
    for numbers, code in (([], 1), (["20"], 0)):
        ended = subprocess.run([*command, *numbers], env=os.environ | variables, capture_output=True, text=True)  # noqa: S603 - ours
        assert ended.returncode == code
        assert ended.stderr.startswith("nothing was written: it would change 20 groups" if code else "")
    assert len(emulator.groups()) == 32


def test_the_users_own_tests_pass(tmp_path: Path) -> None:
    """In a project of their own."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "aiolosant.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
    ]
    command += ["--rootdir", str(tmp_path), "-c", str(tmp_path / "pytest.ini"), str(EXAMPLES / "test_signup.py")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)  # noqa: S603 - ours
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout
