"""A command that is killed, interrupted, or whose reader leaves."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aiolosant.emulator import Fault, RequestRecord
from aiolosant.emulator.fixtures import synthetic

from .served import Served
from .trees import TREE, paths_of, write


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "aiolosant", *arguments]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_apply_is_resumed_by_another(served: Served, tmp_path: Path, number: signal.Signals) -> None:
    """Killed again and again at random moments, then let finish: exactly the wanted tree, nothing twice."""
    records = list(synthetic(400))
    file = write(tmp_path / "tree.jsonl", records)  # type: ignore[arg-type]  # they are dicts
    served.emulator.latency = 0.02
    dice = random.Random(number)  # noqa: S311 - no secret
    codes = set()
    left, reached = 0, threading.Event()

    def count(request: RequestRecord) -> None:
        nonlocal left
        left -= request.method == "POST"
        if left == 0:
            reached.set()

    served.emulator.before_request = count
    for _ in range(2):
        left = dice.randint(1, 80)
        reached.clear()
        with subprocess.Popen(  # noqa: S603 - our own command
            command("apply", file, "--concurrency", "8"), env=os.environ | served.environment, stdout=-1, stderr=-1
        ) as process:
            assert reached.wait(60)
            process.send_signal(number)
            _, complaints = process.communicate(timeout=30)
            codes.add(process.returncode)
            if number == signal.SIGINT:
                assert b"to go on: aiolosant apply" in complaints
                assert b"Traceback" not in complaints
        while any(request.status is None for request in served.emulator.requests):
            time.sleep(0.005)  # what was on the wire of a killed one comes to its end
    assert codes == ({-9} if number == signal.SIGKILL else {130})
    assert 0 < len(served.groups()) < 400
    assert served.run("apply", file).exit_code == 0
    assert served.paths() == paths_of(records)  # type: ignore[arg-type]  # as above
    assert served.run("plan", file).stdout == "400 unchanged\n"


def test_an_error_that_ends_it_is_told_with_what_was_done(served: Served, tmp_path: Path) -> None:
    """A token that is revoked in the middle: what went well, what is left, and how to go on."""
    file = write(tmp_path / "groups.jsonl", [{"name": str(n)} for n in range(100)])

    def revoke_in_the_middle(_request: RequestRecord) -> None:
        if len(served.emulator.requests) >= 40:
            served.emulator.revoke_token()

    served.emulator.before_request = revoke_in_the_middle
    ended = served.run("apply", file)
    assert ended.exit_code == 1
    assert " done, " in ended.stdout.splitlines()[-1]
    assert "of 100 not done; to go on: " in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("aiolosant: 401 Unauthorized")


def test_a_second_interrupt_leaves_at_once(served: Served, tmp_path: Path) -> None:
    """The first waits for an answer that does not come; the second does not."""
    file = write(tmp_path / "groups.jsonl", TREE)
    served.emulator.inject(Fault.SILENCE, method="POST")
    arguments = command("apply", file)
    with subprocess.Popen(arguments, env=os.environ | served.environment, stdout=-1, stderr=-1) as process:  # noqa: S603 - ours
        while not any(request.method == "POST" for request in served.emulator.requests):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while b"letting what was sent settle" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"Traceback" not in complaints
    assert complaints.endswith(b"aiolosant: interrupted\n")


def test_what_settles_after_an_interrupt_is_told(served: Served, tmp_path: Path) -> None:
    """As many lines as groups on the server: nothing that was done goes untold."""
    file = write(tmp_path / "groups.jsonl", [{"name": str(n)} for n in range(500)])
    served.emulator.latency = 0.05
    arguments = command("apply", file, "--json", "--concurrency", "8")
    with subprocess.Popen(arguments, env=os.environ | served.environment, stdout=-1, stderr=-1) as process:  # noqa: S603 - ours
        while sum(request.method == "POST" for request in served.emulator.requests) < 20:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        told, complaints = process.communicate(timeout=30)
    assert process.returncode == 130
    outcomes = [json.loads(line) for line in told.splitlines()]
    assert {outcome["status"] for outcome in outcomes} == {"done", "not sent"}
    assert len({outcome["place"] for outcome in outcomes}) == len(outcomes) == 500
    done = [outcome["id"] for outcome in outcomes if outcome["status"] == "done"]
    assert sorted(done) == sorted(group["id"] for group in served.groups())
    assert f"{500 - len(done)} of 500 not done; to go on: aiolosant apply".encode() in complaints
    counts = next(line for line in complaints.decode().splitlines() if "not sent" in line)
    assert sum(int(count.split()[0]) for count in counts.split(", ")) == 500


def first_line_of(served: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command whose reader leaves after a line, with its own exit code."""
    piped = f"{shlex.join(command(*arguments))} | head -1; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | served.environment
    return subprocess.run(["/bin/bash", "-c", piped], env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours


@pytest.mark.parametrize("arguments", [["list", "--json"], ["tree", "--json"], ["export"]])
def test_a_reader_who_has_had_enough_is_no_failure(served: Served, arguments: list[str]) -> None:
    """`aiolosant list | head` ends quietly, in the middle of more than a pipe holds."""
    served.emulator.create_groups([{"name": f"{n} {'x' * 200}", "description": "y" * 200} for n in range(1000)])
    left = first_line_of(served, *arguments)
    assert (left.returncode, left.stderr, left.stdout.count("\n")) == (0, "", 1)


def test_a_reader_that_leaves_an_apply_is_told_of(served: Served, tmp_path: Path) -> None:
    """What was sent has settled, and how to go on is said; a plan has its code all the same."""
    file = write(tmp_path / "groups.jsonl", [{"name": str(n)} for n in range(300)])
    left = first_line_of(served, "apply", file, "--json")
    assert left.returncode == 1
    assert "nobody reads the output any more; stopping" in left.stderr
    assert "not done; to go on: aiolosant" in left.stderr
    assert 0 < len(served.groups()) < 300
    planned = first_line_of(served, "plan", file, "--json")
    assert planned.returncode == 3
    assert planned.stderr.splitlines()[1:] == []  # but for the application


def test_an_apply_whose_complaints_nobody_reads_either_has_failed(served: Served, tmp_path: Path) -> None:
    """A script must not take it for done: `apply 2>&1 | head`."""
    file = write(tmp_path / "groups.jsonl", [{"name": str(n)} for n in range(300)])
    piped = f"{shlex.join(command('apply', file, '--json'))} 2>&1 | head -2; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | served.environment
    left = subprocess.run(["/bin/bash", "-c", piped], env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert left.returncode == 1
    assert len(served.groups()) < 300


@pytest.mark.skipif(not Path("/proc/self/wchan").exists(), reason="only Linux tells what a process waits for")
def test_an_interrupt_is_heard_while_the_output_is_stuck(served: Served, tmp_path: Path) -> None:
    """In a pipe that nobody reads: the second one leaves at once there, too."""
    file = write(tmp_path / "groups.jsonl", [{"name": f"{n} {'x' * 200}"} for n in range(2000)])
    arguments = command("apply", file, "--json", "--concurrency", "32")
    with subprocess.Popen(arguments, env=os.environ | served.environment, stdout=-1, stderr=-1) as process:  # noqa: S603 - ours
        stuck = f"/proc/{process.pid}/wchan"
        while Path(stuck).read_text() not in ("pipe_write", "anon_pipe_write"):
            assert process.poll() is None
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        while b"letting what was sent settle" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), (">&- 2>&-", 0), ("<&-", 2)])
def test_closed_streams_are_no_traceback(served: Served, tmp_path: Path, redirection: str, code: int) -> None:
    """Whoever starts this may have closed what it reads or writes."""
    file = "-" if code else write(tmp_path / "groups.jsonl", TREE)
    ran = subprocess.run(  # noqa: S602 - the shell's redirection is the subject
        f"{sys.executable} -m aiolosant apply {file} {redirection}",
        env=os.environ | served.environment,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, "Traceback" in ran.stderr) == (code, False)
    assert len(served.groups()) == (0 if code else len(TREE))
