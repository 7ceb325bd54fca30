"""The async client for Losant's Experience Groups: reads any number lazily, writes them concurrently and with care."""

from typing import Any

from .batch import Batch
from .client import Application, LosantClient
from .errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    DuplicateGroupError,
    LosantError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PlanError,
    RateLimitError,
    RequestTimeoutError,
    ResponseFormatError,
    ServerError,
    TransportError,
)
from .groups import ExperienceGroups
from .keys import by_id, by_name, by_tag
from .models import DeviceTag, ExperienceGroup, NewExperienceGroup, Page
from .outcomes import BatchReport, Outcome
from .paging import Paginator
from .query import Q, Query
from .retry import RetryPolicy

__all__ = [
    "ApiError",
    "Application",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchReport",
    "ConfigurationError",
    "DeviceTag",
    "DuplicateGroupError",
    "ExperienceGroup",
    "ExperienceGroups",
    "LosantClient",
    "LosantError",
    "NewExperienceGroup",
    "NotFoundError",
    "Outcome",
    "OutcomeUnknownError",
    "Page",
    "Paginator",
    "PermissionDeniedError",
    "PlanError",
    "Q",
    "Query",
    "RateLimitError",
    "RequestTimeoutError",
    "ResponseFormatError",
    "RetryPolicy",
    "ServerError",
    "TransportError",
    "by_id",
    "by_name",
    "by_tag",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("aiolosant")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
