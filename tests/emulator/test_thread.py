"""The emulator on its thread: in any test, with or without an event loop."""

import asyncio
import contextlib
import gc
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aiolosant import LosantClient, NewExperienceGroup
from aiolosant.emulator import Emulator, Fault, RequestRecord

from ..conftest import client_of


def ask(emulator: Emulator, path: str = "", body: Any = None, **headers: str) -> Any:
    """One request without any event loop."""
    url = path if path.startswith("http") else f"{emulator.url}{path}"
    headers = {"Authorization": f"Bearer {emulator.token}"} | headers
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as response:  # noqa: S310 - our own
        return json.load(response)


def groups_path(emulator: Emulator) -> str:
    return f"/applications/{emulator.application_id}/experience/groups"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Any:
    """No loop here; in its place: no thread is left."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_a_synchronous_test_has_an_emulator() -> None:
    """`with`, and a client that knows no asyncio."""
    with Emulator() as emulator:
        ask(emulator, groups_path(emulator), {"name": "Plant 1"})
        assert [group["name"] for group in ask(emulator, groups_path(emulator))["items"]] == ["Plant 1"]
        assert [group["name"] for group in emulator.groups()] == ["Plant 1"]


def test_several_loops_can_share_one_emulator() -> None:
    """Each `asyncio.run` has a client of its own."""

    async def create(emulator: Emulator, name: str) -> None:
        async with client_of(emulator) as losant:
            await losant.experience_groups.create(NewExperienceGroup(name))

    with Emulator() as emulator:
        for name in ("a", "b"):
            asyncio.run(create(emulator, name))
        assert {group["name"] for group in emulator.groups()} == {"a", "b"}


def test_methods_may_be_called_from_any_thread() -> None:
    """Each of many threads makes groups and reads them, while requests come in."""
    with Emulator() as emulator, ThreadPoolExecutor(8) as threads:
        for n, future in enumerate(
            [
                threads.submit(ask, emulator, groups_path(emulator), {"name": str(n)})
                if n % 2
                else threads.submit(emulator.create_groups, [{"name": str(n)}])
                for n in range(200)
            ]
        ):
            assert future.result(), n
        assert len(emulator.groups()) == 200


def test_many_starts_leave_nothing() -> None:
    """No thread and no socket."""
    descriptors = Path("/proc/self/fd")
    before = 0
    for n in range(200):
        if n == 20:
            gc.collect()
            before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
        with Emulator() as emulator:
            ask(emulator, "/_emulator/health")
    gc.collect()
    assert (len(list(descriptors.iterdir())) if descriptors.exists() else 0) <= before
    assert [thread.name for thread in threading.enumerate() if "emulator" in thread.name] == []


def test_a_closed_emulator_says_so() -> None:
    """It cannot be started again, and what it knew is gone; to close it twice does no harm."""
    emulator = Emulator()
    emulator.start()
    with pytest.raises(RuntimeError, match="was started already"):
        emulator.start()
    emulator.close()
    emulator.close()
    with pytest.raises(RuntimeError, match="cannot be started again"):
        emulator.start()
    with pytest.raises(RuntimeError, match="the emulator is closed"):
        emulator.groups()


def test_closing_does_not_wait_for_what_is_never_answered() -> None:
    """Silence, and an answer that takes an hour."""
    with Emulator() as emulator, ThreadPoolExecutor(2) as threads:
        emulator.inject(Fault.SILENCE, path="*/groups")
        emulator.latency = 0.0
        waiting = [threads.submit(ask, emulator, groups_path(emulator))]
        while not emulator.requests:
            time.sleep(0.001)
        emulator.latency = 3600
        waiting.append(threads.submit(ask, emulator, "/me"))
        while len(emulator.requests) < 2:
            time.sleep(0.001)
        emulator.close()
        for future in waiting:
            with pytest.raises((OSError, http.client.HTTPException)):
                future.result(5)


async def test_a_silence_that_was_abandoned_ends() -> None:
    """The client has gone: the request is over, as its record says."""
    with Emulator() as emulator:
        emulator.inject(Fault.SILENCE, times=None)
        async with client_of(emulator, timeout=0.05) as losant:
            with pytest.raises(Exception, match="time"):
                await losant.experience_groups.get("f" * 24)
        while emulator.requests[0].status is None:
            await asyncio.sleep(0.001)
        assert emulator.requests[0].status == 499


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::"])  # noqa: S104 - the subject
def test_whatever_it_listens_on_its_url_is_right(host: str) -> None:
    """IPv6 too; a name that stands for two addresses has one port."""
    try:
        emulator = Emulator(host=host)
        emulator.start()
    except OSError:
        if ":" not in host:
            raise
        pytest.skip("this machine has no IPv6")
    try:
        assert ask(emulator, "/_emulator/health")["status"] == "ok"
        LosantClient("token", base_url=emulator.url)  # it is this very machine
    finally:
        emulator.close()


def test_the_same_seed_makes_the_same_ids() -> None:
    """Of application, token and groups, so that a recorded test stays as it is."""
    seen = []
    for _ in range(2):
        with Emulator(seed=7) as emulator:
            emulator.create_groups([{"name": "a"}])
            ask(emulator, groups_path(emulator), {"name": "b"})
            ids = [group["id"] for group in emulator.groups()]
            seen.append((emulator.application_id, emulator.token, ids))
    assert seen[0] == seen[1]
    assert seen[0][2] == sorted(seen[0][2])
    with Emulator(seed=8) as other, Emulator(application_id="A" * 24) as given:
        assert other.application_id != seen[0][0]
        assert given.application_id == "a" * 24


def test_a_hook_may_use_the_emulator() -> None:
    """It runs on the emulator's own thread."""
    with Emulator() as emulator:

        def make(_request: RequestRecord) -> None:
            emulator.create_groups([{"name": "made meanwhile"}])

        emulator.before_request = make
        assert ask(emulator, groups_path(emulator))["totalCount"] == 1


def test_answers_are_compressed_where_that_is_taken() -> None:
    """And not where it is not."""
    with Emulator() as emulator:
        headers = {"Authorization": f"Bearer {emulator.token}"}
        for accepted, encoding in (("gzip, deflate", "gzip"), ("identity", None), ("gzip;q=0, br", None)):
            request = urllib.request.Request(f"{emulator.url}/me", headers=headers | {"Accept-Encoding": accepted})  # noqa: S310 - ours
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - as above
                assert response.headers["Content-Encoding"] == encoding
                assert response.headers["Transfer-Encoding"] == ("chunked" if encoding else None)


def test_a_hook_cannot_close_its_own_emulator() -> None:
    """It says so, and the request is answered."""
    with Emulator() as emulator:

        def close(_request: RequestRecord) -> None:
            emulator.close()

        emulator.before_request = close
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(emulator, "/me")
        assert b"cannot be closed by its own before_request" in caught.value.read()
        caught.value.close()


@pytest.mark.timeout(60)
def test_other_threads_ask_the_emulator_itself_while_lists_lag() -> None:
    """SQLite and the interpreter have a lock each, which must not be taken the other way round."""
    with Emulator() as emulator, ThreadPoolExecutor(1) as thread:
        emulator.staleness = 0.01
        over = threading.Event()

        def poll() -> int:
            polls = 0
            while not over.is_set():
                ask(emulator, "/_emulator/settings")
                polls += 1
            return polls

        polling = thread.submit(poll)
        for _ in range(20):
            emulator.create_groups([{"name": "q"}] * 200)
        over.set()
        assert polling.result(20) >= 1


def test_an_answer_that_nobody_reads_is_dropped_at_the_end() -> None:
    """Its connection is closed, though more is still to be written than the system takes."""
    with Emulator() as emulator, socket.socket() as reader:
        emulator.create_groups({"name": f"{n}", "description": "x" * 8000} for n in range(1000))
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", int(emulator.url.rpartition(":")[2])))
        target = f"/applications/{emulator.application_id}/experience/groups?perPage=1000"
        reader.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {emulator.token}\r\n\r\n".encode())
        while not emulator.requests or emulator.requests[0].status is None:
            time.sleep(0.001)
        emulator.close()
        gc.collect()  # which tells of what was left open


def test_connections_that_come_as_it_closes_are_closed() -> None:
    """Those too that were accepted, and not known yet."""
    for _ in range(10):
        with Emulator() as emulator, contextlib.ExitStack() as stack:
            for _ in range(20):
                client = stack.enter_context(socket.socket())
                client.connect(("127.0.0.1", int(emulator.url.rpartition(":")[2])))
            emulator.close()
            gc.collect()
