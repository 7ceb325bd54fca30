"""The exception tree."""

import copy
import pickle

import pytest

import aiolosant
from aiolosant import errors
from aiolosant.errors import LosantError, RateLimitError

ERRORS = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LosantError)]


def make(kind: type[LosantError]) -> LosantError:
    if issubclass(kind, errors.ApiError):
        return kind(404, "NotFound", "no such group", "GET", "/applications/1", attempts=3)
    return kind("something happened", method="POST", path="/applications/1", attempts=3)


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_public_and_in_the_tree(kind: type[LosantError]) -> None:
    """Each error can be imported from aiolosant and descends from LosantError."""
    assert getattr(aiolosant, kind.__name__) is kind
    assert issubclass(kind, LosantError)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("clone", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])  # noqa: S301 - our own bytes
def test_every_error_pickles_and_copies(kind: type[LosantError], clone) -> None:  # type: ignore[no-untyped-def]  # two lambdas
    """A clone has the same class, text and attributes."""
    error = make(kind)
    twin = clone(error)
    assert type(twin) is kind
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_says_where_and_how_often(kind: type[LosantError]) -> None:
    """The text has the method, the path and the number of attempts."""
    text = str(make(kind))
    assert "/applications/1, 3 attempts)" in text
    assert ("GET" in text) or ("POST" in text)


def test_a_status_outside_the_table_is_an_api_error() -> None:
    """Statuses map to classes by a table; every 5xx is a ServerError, any other an ApiError."""
    assert errors.api_error_class(401) is errors.AuthenticationError
    assert errors.api_error_class(599) is errors.ServerError
    assert errors.api_error_class(418) is errors.ApiError
    assert errors.api_error_class(302) is errors.ApiError


def test_an_error_that_carries_a_report_of_itself_pickles() -> None:
    """A batch's error holds the batch's report, whose outcomes hold the error again."""
    error = make(errors.AuthenticationError)
    outcome = aiolosant.Outcome(0, aiolosant.NewExperienceGroup("a"), None, error, "failed")
    error.report = aiolosant.BatchReport(failed=(outcome,))
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert twin.report.failed[0].error is twin


def test_a_timeout_is_also_a_timeout_error() -> None:
    """`except TimeoutError` catches ours."""
    assert issubclass(errors.RequestTimeoutError, TimeoutError)


def test_a_refusal_for_a_while_says_for_how_long() -> None:
    """What the server asked for is what to do."""
    error = RateLimitError(429, "RateLimit", "too many", "GET", "/x")
    assert "Wait, then go on" in str(error)
    error.retry_after = 100.0
    assert "Wait 100 seconds, as the server asks, then go on" in str(error)
