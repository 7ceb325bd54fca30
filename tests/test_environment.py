"""What the environment says of networks: proxies, a `.netrc`, addresses that move."""

import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aiolosant import ConfigurationError, LosantClient, NewExperienceGroup, RetryPolicy
from aiolosant.emulator import Emulator

from .conftest import client_of
from .servers import answer, raw_server
from .threaded_server import threaded_server

APPLICATION = "575ec8687ae143cd83dc4a97"
GROUP = "575ed78e7ae143cd83dc4aab"


def client(url: str, **options: Any) -> LosantClient:
    arguments: dict[str, Any] = {"application_id": APPLICATION, "base_url": url, "retry": RetryPolicy(max_attempts=1)}
    return LosantClient("t", **arguments | options)


async def test_a_netrc_never_touches_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Though it names the very server, and the environment is trusted."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    ok = answer("HTTP/1.1 200 OK", b'{"id": "%s", "name": "a"}' % GROUP.encode())
    async with raw_server(ok) as server, client(server.url) as losant:
        await losant.experience_groups.get(GROUP)
    assert b"Authorization: Bearer t\r\n" in server.requests[0]


async def test_an_address_that_has_moved_is_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one refuses; the next attempt asks where the server is now."""
    asked: list[str] = []

    async def resolve(_resolver: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        asked.append(host)
        address = "127.0.0.2" if len(asked) == 1 else "127.0.0.1"  # nobody listens at the first
        return [
            {"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0},
        ]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)
    with threaded_server() as server:
        port = server.url.rsplit(":", 1)[1]
        policy = RetryPolicy(max_attempts=2, first_delay=0)
        async with client(f"http://moved.example:{port}", allow_http=True, retry=policy, trust_env=False) as losant:
            made = await losant.experience_groups.create(NewExperienceGroup("a"))
    assert made.name == "a"
    assert asked == ["moved.example"] * 2


@pytest.mark.parametrize("no_proxy", ["", "127.0.0.1"])
async def test_the_environments_proxy_is_used_and_its_password_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    """With the user name and password of its address, and not for what NO_PROXY names."""
    ok = answer("HTTP/1.1 200 OK", b'{"id": "%s", "name": "a"}' % GROUP.encode())
    async with raw_server(ok) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://me:pass-word@"))
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://me:pass-word@"))
        monkeypatch.setenv("no_proxy", no_proxy)
        losant = LosantClient(
            "t",
            application_id=APPLICATION,
            base_url="http://127.0.0.1:1",
            retry=RetryPolicy(max_attempts=1),
        )
        async with losant:
            if no_proxy:
                with pytest.raises(Exception, match="no answer") as caught:
                    await losant.experience_groups.get(GROUP)
                assert "pass-word" not in repr((caught.value, caught.value.__cause__))
                assert proxy.requests == []
                return
            await losant.experience_groups.get(GROUP)
    assert proxy.requests[0].startswith(b"GET http://127.0.0.1:1/applications/")
    assert b"Proxy-Authorization: Basic bWU6cGFzcy13b3Jk" in proxy.requests[0]


async def test_a_proxy_that_is_not_there_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the error, nor in what caused it."""
    monkeypatch.setenv("http_proxy", "http://me:pass-word@127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    once = RetryPolicy(max_attempts=1)
    losant = LosantClient("t", application_id=APPLICATION, base_url="http://x.example", allow_http=True, retry=once)
    async with losant:
        with pytest.raises(Exception, match="no answer") as caught:
            await losant.experience_groups.get(GROUP)
    assert "pass-word" not in repr((caught.value, caught.value.__cause__)) + str(caught.value)
    assert "the proxy cannot be reached" in str(caught.value)
    assert "NO_PROXY" in str(caught.value)


async def test_what_is_for_this_machine_goes_through_no_other(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    """The token may be unencrypted then, and a proxy elsewhere would read it."""
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    monkeypatch.setenv("no_proxy", "")
    async with client_of(emulator, timeout=5) as losant:
        assert await losant.experience_groups.list().count() == 0


@pytest.mark.parametrize("proxy", ["nonsense", "127.0.0.1:9", "http://x:99999", "socks5://me:pass-word@x:1080"])
def test_a_proxy_that_is_none_is_told_at_once(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """By the name of the variable, and without its password."""
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ConfigurationError, match="HTTP_PROXY") as caught:
        client("http://127.0.0.1:1")
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(("text", "wanted"), [("0.5", 0.5), ("3", 3.0), ("soon", None), ("-1", None), ("nan", None)])
async def test_the_settle_time_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, text: str, wanted: float | None
) -> None:
    """As it was measured on one's own Losant; what is no number is told at once."""
    monkeypatch.setenv("LOSANT_API_TOKEN", emulator.token)
    monkeypatch.setenv("LOSANT_SETTLE_TIME", text)
    if wanted is None:
        with pytest.raises(ConfigurationError, match="LOSANT_SETTLE_TIME must be a number of seconds"):
            LosantClient.from_env()
        return
    options: dict[str, Any] = {"base_url": emulator.url, "application_id": emulator.application_id, "timeout": wanted}
    async with LosantClient.from_env(**options) as losant:
        with pytest.raises(ConfigurationError, match=f"settle_time, which is {wanted:g}"):
            await losant.experience_groups.add_tags("f" * 24, {"a": "1"})


@pytest.mark.parametrize("whose", ["own", "the caller's"])
async def test_a_proxy_that_is_not_asked_for_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, whose: str
) -> None:
    """Without `trust_env`, and in a session of the caller's, be it what it may."""
    monkeypatch.setenv("http_proxy", "nonsense")
    monkeypatch.setenv("no_proxy", "")
    async with aiohttp.ClientSession() as session:
        options: dict[str, Any] = {"trust_env": False} if whose == "own" else {"session": session}
        async with client_of(emulator, **options) as losant:
            assert await losant.experience_groups.list().count() == 0


async def test_a_proxy_that_quotes_its_password_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as it is nor as the header that held it; the rest of its words are told."""
    words = b'{"type": "No", "message": "not with pass-word or Basic bWU6cGFzcy13b3Jk, dear me"}'
    async with raw_server(answer("HTTP/1.1 403 No", words)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://me:pass-word@"))
        monkeypatch.setenv("no_proxy", "")
        once = RetryPolicy(max_attempts=1)
        losant = LosantClient("t", application_id=APPLICATION, base_url="http://127.0.0.1:1", retry=once)
        async with losant:
            with pytest.raises(Exception, match=r"not with \*\*\* or Basic \*\*\*, dear me") as caught:
                await losant.experience_groups.get(GROUP)
    assert "pass-word" not in repr((caught.value, caught.value.__cause__))
