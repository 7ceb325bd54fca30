"""`/_emulator/...`: what tests in any language do with an emulator."""

from typing import Any

import pytest

from aiolosant.emulator import Emulator

from .api import Api


@pytest.fixture
def ask(emulator: Emulator, api: Api) -> Any:
    async def ask(method: str, what: str, **options: Any) -> tuple[int, Any]:
        return await api(method, f"{emulator.url}/_emulator/{what}", **options)

    return ask


async def test_health_needs_no_token_and_all_else_does(emulator: Emulator, api: Api, ask: Any) -> None:
    """Whoever waits for it to come up asks for its health."""
    api.headers = {}
    assert await ask("GET", "health") == (200, {"status": "ok", "applicationId": emulator.application_id})
    for method, what in (("POST", "reset"), ("GET", "requests"), ("GET", "settings"), ("DELETE", "faults")):
        assert (await ask(method, what))[0] == 403
    api.headers = {"Authorization": "Bearer wrong"}
    assert (await ask("POST", "reset"))[0] == 401


async def test_faults_are_injected_and_withdrawn(api: Api, ask: Any) -> None:
    """One by its name, or several by chance; asking the emulator itself meets none."""
    assert (await ask("POST", "faults", json={"fault": "503", "times": None, "path": "*/groups"}))[0] == 200
    assert (await api("GET"))[0] == 503
    assert (await ask("GET", "settings"))[0] == 200
    assert (await ask("DELETE", "faults"))[0] == 200
    assert (await api("GET"))[0] == 200
    assert (await ask("POST", "faults", json={"chances": {"server-error": 1}, "seed": 1}))[0] == 200
    assert (await api("GET"))[0] == 500


async def test_tokens_are_made_and_revoked(emulator: Emulator, api: Api, ask: Any) -> None:
    """So that a service in any language can be tested with a token that runs out."""
    _, made = await ask("POST", "tokens", json={"scopes": ["all.Application.read"]})
    assert (await ask("DELETE", "tokens", json={"token": emulator.token}))[0] == 200
    assert (await api("GET"))[0] == 401
    api.headers = {"Authorization": f"Bearer {made['token']}"}
    assert (await api("GET"))[0] == 200
    assert (await api("POST", json={"name": "x"}))[0] == 403
    assert (await ask("DELETE", "tokens", json={"token": "unknown"}))[0] == 400


async def test_settings_are_read_and_changed(emulator: Emulator, ask: Any) -> None:
    """By their names in JSON."""
    changed = await ask("PATCH", "settings", json={"rateLimit": 5, "staleness": 0.5, "latency": 0})
    assert changed == (
        200,
        {"latency": 0, "rateLimit": 5, "retryAfter": None, "lateness": 0.5, "staleness": 0.5},
    )
    assert (emulator.rate_limit, emulator.staleness) == (5, 0.5)


async def test_requests_are_shown_and_forgotten(api: Api, ask: Any) -> None:
    """With body and headers, and without the token."""
    await api("POST", json={"name": "Köln"})
    _, (request,) = await ask("GET", "requests")
    assert (request["method"], request["status"], request["body"]) == ("POST", 201, '{"name": "K\\u00f6ln"}')
    assert request["headers"]["authorization"] == "Bearer ***"
    await ask("DELETE", "requests")
    assert (await ask("GET", "requests"))[1] == []


async def test_reset_makes_it_new(emulator: Emulator, api: Api, ask: Any) -> None:
    """Groups, members, faults, settings, requests; application and token stay."""
    await api("POST", json={"name": "a"})
    emulator.create_experience_user("a@example.com")
    other, token = emulator.create_application(), emulator.create_token()
    emulator.latency, emulator.staleness = 0.001, 3
    emulator.revoke_token()
    api.headers = {"Authorization": f"Bearer {token}"}
    await ask("POST", "faults", json={"fault": "503", "times": None})
    assert (await ask("POST", "reset"))[0] == 200
    assert (emulator.groups(), emulator.latency, emulator.staleness, emulator.requests) == ([], 0, 0, [])
    assert (await api("GET"))[0] == 401
    api.headers = {"Authorization": f"Bearer {emulator.token}"}
    assert (await api("GET"))[1]["totalCount"] == 0
    with pytest.raises(ValueError, match="there is no application"):
        emulator.groups(application_id=other)


@pytest.mark.parametrize(
    ("method", "what", "body", "status", "complaint"),
    [
        ("POST", "faults", {"fault": "fire"}, 400, "there are 429, 500, 503, 502, cut-before-write"),
        ("POST", "faults", {}, 400, "either fault or chances"),
        ("POST", "faults", {"fault": "503", "times": 0}, 400, "times must be 1 or more"),
        ("POST", "faults", {"chances": {"503": 2}}, 400, "1 or less together"),
        ("PATCH", "settings", {"speed": 1}, 400, "speed"),
        ("PATCH", "settings", {"latency": -1}, 400, "latency must be 0 or more"),
        ("GET", "colour", None, 404, "the emulator has no GET"),
    ],
)
async def test_mistakes_are_told(ask: Any, method: str, what: str, body: Any, status: int, complaint: str) -> None:
    """In Losant's shape, with what there is instead."""
    seen, error = await ask(method, what, json=body)
    assert (seen, complaint in error["message"]) == (status, True), error


async def test_a_page_of_another_origin_may_ask(api: Api) -> None:
    """A browser asks first, without a token."""
    wanted = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "PATCH"}
    asked = {**wanted, "Access-Control-Request-Headers": "authorization"}
    async with api.session.options(api.root, headers=asked) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Headers"] == "authorization"
        assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
    async with api.session.get(api.root, headers=api.headers | {"Origin": "http://a.example"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "http://a.example"
