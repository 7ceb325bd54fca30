"""The programs of examples/ run."""

import json
import os
import subprocess
import sys
from pathlib import Path

from aiolosant.emulator import Emulator

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_nightly_sync_runs(emulator: Emulator, tmp_path: Path) -> None:
    """Twice: the second night changes what has changed."""
    variables = {
        "LOSANT_API_URL": emulator.url,
        "LOSANT_API_TOKEN": emulator.token,
        "LOSANT_APPLICATION_ID": emulator.application_id,
    }
    file = tmp_path / "customers.json"
    said = []
    for city in ("K\u00f6ln", "Bonn"):
        file.write_text(json.dumps([{"id": 7, "company": "Acme", "city": city}, {"id": 8, "company": "Bolt"}]))
        command = [sys.executable, str(EXAMPLES / "nightly_sync.py"), str(file)]
        ended = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)  # noqa: S603 - ours
        assert ended.returncode == 0, ended.stderr
        said.append(ended.stdout)
    assert said == ["2 to create, 0 unchanged\n", "1 to update, 1 unchanged\n"]


def test_the_users_own_tests_pass(tmp_path: Path) -> None:
    """In a project of their own."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "aiolosant.pytest_plugin", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(tmp_path), "-c", str(tmp_path / "pytest.ini"), str(EXAMPLES / "test_signup.py")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)  # noqa: S603 - ours
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout
