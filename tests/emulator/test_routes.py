"""Every route that Losant has is known: answered, or told to be missing here."""

import importlib.resources

import pytest

from aiolosant.emulator.account_calls import ACCOUNT_OPERATIONS
from aiolosant.emulator.group_calls import GROUP_OPERATIONS
from aiolosant.emulator.member_calls import MEMBER_OPERATIONS
from aiolosant.emulator.routes import find_operation
from aiolosant.emulator.schemas import ApiProblem

ROUTES = [
    tuple(line.split(" "))
    for line in importlib.resources.files("aiolosant.emulator").joinpath("losant_routes.txt").read_text().splitlines()
]
# All that is about groups, and what they need of users, endpoints and devices.
THERE = {
    ("GET", "/me"),
    ("GET", "/applications/{applicationId}"),
    *(
        (method, f"/applications/{{applicationId}}/experience/{path}")
        for what, name in (("groups", "Group"), ("users", "User"), ("endpoints", "Endpoint"))
        for method, path in (
            *(("GET", what), ("POST", what)),
            *((method, f"{what}/{{experience{name}Id}}") for method in ("GET", "PATCH", "DELETE")),
        )
    ),
    ("GET", "/applications/{applicationId}/devices"),
    ("GET", "/applications/{applicationId}/devices/{deviceId}"),
}


def test_every_route_of_losant_is_answered_or_a_501() -> None:
    """The 501 names the emulator, so that nobody takes it for Losant's answer."""
    for method, path in ROUTES:
        filled = "/".join("5" * 24 if part.startswith("{") else part for part in path.split("/"))
        if (method, path) in THERE:
            operation, ids = find_operation(method, filled)
            assert (operation.method, operation.path) == (method, path)
            assert set(ids.values()) <= {"5" * 24}
            continue
        with pytest.raises(ApiProblem, match="The emulator of aiolosant does not have") as caught:
            find_operation(method, filled)
        assert caught.value.status == 501


def test_what_the_emulator_has_is_all_there() -> None:
    """It has no route that Losant has not."""
    operations = (*GROUP_OPERATIONS, *MEMBER_OPERATIONS, *ACCOUNT_OPERATIONS)
    assert {(operation.method, operation.path) for operation in operations} == THERE
    assert set(ROUTES) >= THERE
    assert len(ROUTES) == 375


def test_a_forgotten_format_is_a_name_like_any_other() -> None:
    """`{}` in a path stands for an id that is none, and is refused as such."""
    _, ids = find_operation("GET", "/applications/{}/experience/groups")
    assert ids == {"applicationId": "{}"}
