"""Whatever it is sent, the emulator answers in Losant's shape: never a 500, never a hang, and it goes on serving."""

import asyncio
import contextlib
import gzip
import json
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aiolosant import LosantClient, LosantError, NewExperienceGroup, RetryPolicy
from aiolosant.emulator import Emulator

from ..conftest import client_of
from .api import Api

COMMAND = [sys.executable, "-c", "from aiolosant.cli import main; main()", "emulator", "--port", "0"]
FUZZED = 2_000
CONNECTIONS = 8

# What a request is put together from: sound parts, near misses and nonsense.
METHODS = ["GET", "POST", "PATCH", "DELETE", "HEAD", "PUT", "OPTIONS", "TRACE", "get", "BREW", ""]
TAILS = [
    "",
    "/",
    "//",
    "/{group}",
    "/{group}/",
    "/{group}/x",
    "/" + "f" * 24,
    "/..",
    "/%00",
    "/%ff",
    "/null",
    "/\u00fc",
]
PREFIXES = ["/applications/{application}/experience/groups"] * 8 + [
    *("/applications/{application}/experience/users", "/applications/{application}/devices", "/applications/1"),
    *("/", "", "*", "/applications/" + "0" * 24 + "/experience/groups", "http://[::1/", "/" + "a" * 4000),
]
NAMES = ["sortField", "sortDirection", "page", "perPage", "filter", "filterField", "query", "_links", "x", "", "page[]"]
VALUES = [
    *("name", "id", "desc", "0", "1", "1000", "1001", "-1", "1e3", "99999999999999999999", "", "*", "%00", "%", "true"),
    *("%7B%7D", "%5B%5D", "null", "%7B%22id%22%3A%7B%22%24gt%22%3A1%7D%7D", "%7B%22name%22%3A%7B%22%24in%22%3A0%7D%7D"),
    *("%7B%22%24or%22%3A%5B%7B%22%24nor%22%3A%5B%5D%7D%5D%7D", "%7B" * 2000, "%5B" * 3000, "%22%5Cud800%22", "NaN"),
    "%7B%22creationDate%22%3A%7B%22%24gt%22%3A1e999%7D%7D",
]
BODIES = [
    *[b'{"name": "Plant"}'] * 8,
    b"",
    b"{}",
    b"[]",
    b"null",
    b"{",
    b"\xff\xfe",
    b"NaN",
    b"1" * 5000,
    b"[" * 50_000,
    b'{"name": 1}',
    b'{"name": ""}',
    b'{"name": "x"}garbage',
    b'{"name": "x", "name": "y"}',
    b'{"name": "x", "parentId": 3}',
    b'{"name": "x", "color": 1}',
    b'{"name": "\\ud800"}',
    b'{"name": "\x00"}',
    b'{"name": "' + b"n" * 300 + b'"}',
    b'{"name": "x", "groupTags": {"a b": "c"}}',
    b'{"name": "x", "deviceIds": ["1"]}',
    b'{"description": null}',
]
HEADERS = [
    "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Content-Encoding: nonsense",
    "Content-Type: text/html",
    "Content-Type: ;;;",
    "Expect: 100-continue",
    "Expect: the worst",
    "Connection: close",
    "Authorization: Basic eDp5",
    "Authorization: Bearer",
    "Cookie: \xff=\x01",
    "X: " + "x" * 5000,
    "Range: bytes=5-1",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: nonsense",
    "Content-Length: 7",
    "Content-Length: -1",
    ": x",
    "x",
    "Accept-Encoding: \u00fc",
]


class Fuzzer:
    """Makes requests, the same for the same seed."""

    def __init__(self, seed: int, emulator: Emulator, group: str) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.emulator = emulator
        self.group = group

    def request(self) -> bytes:
        pick, chance = self.random.choice, self.random.random
        target = pick(PREFIXES) + (pick(TAILS) if chance() < 0.5 else "")
        target = target.replace("{application}", self.emulator.application_id).replace("{group}", self.group)
        method = pick(METHODS[:4]) if chance() < 0.9 else pick(METHODS)
        if chance() < (0.6 if method == "GET" else 0.1):
            target += "?" + "&".join(f"{pick(NAMES)}={pick(VALUES)}" for _ in range(self.random.randint(1, 3)))
        body = pick(BODIES) if chance() < 0.7 else self.random.randbytes(self.random.randint(0, 200))
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        if chance() < 0.9:
            lines.append(f"Authorization: Bearer {self.emulator.token}")
        if chance() < 0.3:
            lines += [pick(HEADERS) for _ in range(self.random.randint(1, 2))]
        raw = bytearray("\r\n".join([*lines, "", ""]).encode() + body)
        if chance() < 0.03:  # a byte anywhere is another
            raw[self.random.randrange(len(raw))] = self.random.randrange(256)
        return bytes(raw)


async def exchange(emulator: Emulator, raw: bytes, patience: float) -> tuple[int, bytes] | None:
    """Send a request on a connection of its own; the status and body of the first answer, None if there is none.

    What promises more bytes than it has is rightly waited for; after `patience` seconds this side is closed.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", int(emulator.url.rpartition(":")[2]))
    try:
        writer.write(raw)
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
        except TimeoutError:
            writer.write_eof()
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        if head.startswith(b"HTTP/1.1 100"):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
        body = b"" if raw.startswith(b"HEAD ") else await asyncio.wait_for(reader.readexactly(length), 10)
        return int(head.split(None, 2)[1]), body
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        writer.close()


@pytest.mark.timeout(100)
async def test_thousands_of_fuzzed_requests_are_answered_in_losants_shape(emulator: Emulator) -> None:
    """No 500, no hang, no answer that is not Losant's; and a sound request after them all is answered as ever."""
    (group,) = emulator.create_groups([{"name": "Acme"}])
    fuzzer = Fuzzer(1, emulator, group)
    statuses: Counter[int] = Counter()

    async def connection() -> None:
        while statuses.total() < FUZZED:
            raw = fuzzer.request()
            # On a busy machine half a second is short for an answer; then it is asked again.
            answered = await exchange(emulator, raw, 0.5) or await exchange(emulator, raw, 10)
            assert answered is not None, raw[:300]
            status, body = answered
            statuses[status] += 1
            assert status < 500 or status == 501, raw[:300]
            if status >= 400 and not raw.startswith(b"HEAD "):
                assert set(json.loads(body)) in ({"type", "message"}, {"code", "message"}), raw[:300]

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    assert all(statuses[status] > 25 for status in (200, 201, 400, 403, 404, 405)), statuses  # it fuzzed everything
    async with client_of(emulator) as losant:
        assert await losant.experience_groups.list().count() >= statuses[201]


@pytest.mark.parametrize("kill_after", [100, 300])
async def test_a_kill_loses_no_group_that_was_answered(kill_after: int, tmp_path: Path) -> None:
    """SIGKILL in the middle of 600 creates: each that was answered with 201 is there when it is started again."""
    data = tmp_path / "groups.db"
    answered = set()
    with serving(data) as (process, options):
        async with LosantClient(**options, retry=RetryPolicy(max_attempts=1, patience=0)) as losant:
            new = (NewExperienceGroup(f"Tenant {n}") for n in range(600))
            with contextlib.suppress(LosantError):  # there is no server any more
                async for outcome in losant.experience_groups.create_many(new, concurrency=16):
                    if outcome.group:
                        answered.add(outcome.group.id)
                    if len(answered) == kill_after:
                        process.kill()
    assert kill_after <= len(answered) < 600
    with serving(data) as (_, options):
        async with LosantClient(**options) as losant:
            there = {group.id async for group in losant.experience_groups.scan()}
            await losant.experience_groups.create(NewExperienceGroup("and on it goes"))
    assert answered <= there


@contextmanager
def serving(data: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The command in a process of its own, and the arguments of a client of it."""
    with subprocess.Popen([*COMMAND, "--data", str(data)], stdout=-1, stderr=-1, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert all(lines), process.communicate()
        shown = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        names = {"LOSANT_API_TOKEN": "token", "LOSANT_APPLICATION_ID": "application_id", "LOSANT_API_URL": "base_url"}
        yield process, {names[name]: value for name, value in shown.items()}
        process.kill()
        process.communicate()


async def test_a_file_has_one_emulator(tmp_path: Path) -> None:
    """A second emulator on the same file, or one on a file that is no database, says so instead of starting."""
    data = tmp_path / "groups.db"
    emulator = Emulator(data=data)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        Emulator(data=data)
    emulator.close()
    data.write_text("no database at all, but text of some length" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        Emulator(data=data)


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ([{"id": "1", "name": "A"}, {"id": "1", "name": "B"}], "two records have the same id"),
        ([{"id": "1", "name": "A", "parentId": "2"}, {"id": "2", "name": "B", "parentId": "1"}], "own ancestors"),
        ([{"name": "A", "parentId": "f" * 24}], "is no group of this application"),
        ([{"name": "A"}, {"id": "2"}], "record '2': Object missing required field `name`"),
        ([{"name": "A", "groupTags": {"a b": "c"}}], "record 'A': "),
    ],
)
async def test_a_bad_seed_makes_nothing(
    emulator: Emulator, api: Api, records: list[dict[str, Any]], complaint: str
) -> None:
    """All or nothing, by the rules of the API."""
    with pytest.raises(ValueError, match=complaint):
        emulator.create_groups(records)
    assert (await api("GET"))[1]["totalCount"] == 0


async def test_a_seed_comes_in_any_order(emulator: Emulator, api: Api) -> None:
    """Below each other and below what is there, with what only the server sets read over."""
    first = emulator.create_groups(
        [{"id": "b", "name": "B", "parentId": "a"}, {"id": "a", "name": "A", "totalDeviceCount": 3}]
    )
    second = emulator.create_groups([{"name": "C", "parentId": first["b"]}])
    items = {item["name"]: item for item in (await api("GET"))[1]["items"]}
    assert items["C"]["ancestorIds"] == [first["a"], first["b"]]
    assert list(second.values()) == [items["C"]["id"]]


async def test_other_machines_are_let_in_when_asked() -> None:
    """On every address; its own url is one that this machine can use."""
    async with Emulator(host="0.0.0.0") as emulator, client_of(emulator) as losant:  # noqa: S104 - the subject
        assert emulator.url.startswith("http://127.0.0.1:")
        assert await losant.experience_groups.list().count() == 0


async def test_a_compressed_body_is_refused(api: Api) -> None:
    """Losant documents none, so that one is no JSON, whether it is what it claims or not."""
    for body in (b"\x1f\x8b nonsense", gzip.compress(b'{"name": "x"}')):
        async with api.session.post(
            api.root, data=body, headers=api.headers | {"Content-Encoding": "gzip"}, compress=None
        ) as response:
            assert response.status == 400
            assert (await response.json())["code"] == "InvalidContent"
