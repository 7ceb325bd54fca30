"""What an attempt proves."""

import pytest

from aiolosant import ExperienceGroup
from aiolosant._http.codec import decode_group
from aiolosant._http.request import Request
from aiolosant._http.response import Proof, Response, classify, classify_failure
from aiolosant.errors import NotFoundError, RateLimitError, TransportError


def request(method: str) -> Request[ExperienceGroup]:
    return Request(method=method, path="/path", decode=decode_group)


REQUEST = request("POST")
ERROR = b'{"type": "Any", "message": "text"}'
GROUP = b'{"id": "1", "name": "a"}'


@pytest.mark.parametrize(
    ("status", "body", "proof", "transient"),
    [
        (200, GROUP, Proof.APPLIED, False),
        (201, GROUP, Proof.APPLIED, False),
        (201, b"", Proof.UNKNOWN, True),
        (201, b'{"id": "1", "na', Proof.UNKNOWN, True),
        (201, b'{"id": 1}', Proof.UNKNOWN, True),
        (302, b"", Proof.UNKNOWN, True),
        (400, ERROR, Proof.NOT_APPLIED, False),
        (401, ERROR, Proof.NOT_APPLIED, False),
        (404, ERROR, Proof.NOT_APPLIED, False),
        (400, b'{"code": "InvalidContent", "message": "no JSON"}', Proof.NOT_APPLIED, False),
        (400, b"", Proof.UNKNOWN, True),
        (403, b"<html>blocked</html>", Proof.UNKNOWN, True),
        (404, b"<html>no such page</html>", Proof.UNKNOWN, True),
        (404, b'{"type": "about:blank", "title": "Not Found", "status": 404}', Proof.UNKNOWN, True),
        (404, b'{"type": "https://errors.example/404", "message": "no route"}', Proof.UNKNOWN, True),
        (403, b'{"type": "Forbidden", "title": "Forbidden", "status": 403}', Proof.UNKNOWN, True),
        (404, b'{"type": "NotFound", "message": "m", "code": 404, "new": null}', Proof.NOT_APPLIED, False),
        (404, b'{"code": "ROUTE_NOT_FOUND", "message": "no route"}', Proof.UNKNOWN, True),
        (403, b'{"type": "error", "message": "blocked"}', Proof.UNKNOWN, True),
        (407, b"", Proof.NOT_APPLIED, False),
        (408, b"", Proof.NOT_APPLIED, True),
        (409, ERROR, Proof.NOT_APPLIED, False),
        (425, b"", Proof.NOT_APPLIED, True),
        (429, b"", Proof.NOT_APPLIED, True),
        (499, b"", Proof.UNKNOWN, True),
        (500, b"", Proof.UNKNOWN, True),
        (503, b"", Proof.UNKNOWN, True),
        (599, b"", Proof.UNKNOWN, True),
    ],
)
def test_a_response_proves_what_status_and_body_say(status: int, body: bytes, proof: Proof, transient: bool) -> None:
    """Only a 2xx that was understood is applied, only a 4xx not; what passes may be tried again."""
    response = classify(REQUEST, status, body)
    assert (response.proof, response.transient, response.status) == (proof, transient, status)
    assert (response.error is None) == (proof is Proof.APPLIED) == (response.result is not None)


def test_an_answer_without_a_body_to_head_is_the_servers_own() -> None:
    """It has none by definition, so that nothing tells it from a gateway's."""
    response = classify(request("HEAD"), 404, b"")
    assert isinstance(response.error, NotFoundError)
    assert not response.transient


@pytest.mark.parametrize(("status", "body"), [(302, b""), (200, b'{"id": 1}')])
def test_a_read_does_not_try_again_what_will_not_change(status: int, body: bytes) -> None:
    """A redirect or a wrong shape; a write they leave in doubt, and it is sent again to make sure."""
    assert not classify(request("GET"), status, body).transient
    assert classify(request("PATCH"), status, body).transient


def test_a_refusal_carries_what_the_server_asked_for() -> None:
    """`Retry-After` is on the error."""
    response = classify(REQUEST, 429, b"", retry_after=7)
    assert isinstance(response.error, RateLimitError)
    assert response.error.retry_after == 7


@pytest.mark.parametrize("sent", [True, False])
def test_a_failure_proves_something_only_if_nothing_left(sent: bool) -> None:
    """Without an answer, what was not sent was not applied; all else is unknown."""
    response: Response[None] = classify_failure(TransportError("cut"), sent=sent, transient=True)
    assert response.proof is (Proof.UNKNOWN if sent else Proof.NOT_APPLIED)


def test_an_error_quotes_no_more_than_500_characters() -> None:
    """Of whatever the answer says, and what must not be shown is taken out before it is cut."""
    for body in (b"x" * 10_000, b'{"message": "' + b"x" * 10_000 + b'"}'):
        error = classify(REQUEST, 500, body).error
        assert error is not None
        assert error.message == "x" * 500
        masked = classify(REQUEST, 500, body, mask=lambda text: text.replace("x" * 501, "***")).error
        assert masked is not None
        assert masked.message.startswith("***")


@pytest.mark.parametrize(("status", "told"), [(302, True), (399, True), (400, False), (500, False)])
def test_a_redirect_alone_is_told_to_check_the_address(status: int, told: bool) -> None:
    """Whoever is refused for another reason would look in the wrong place."""
    error = classify(REQUEST, status, ERROR).error
    assert error is not None
    assert ("redirects are not followed" in error.advice) is told


@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_a_429_alone_is_a_refusal_for_having_had_too_many(status: int) -> None:
    """It slows the client down and uses up no attempt; what else passes is an attempt."""
    assert classify(REQUEST, status, ERROR).refused is (status == 429)
