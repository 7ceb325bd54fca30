"""The async client for Losant's Experience Groups: reads any number lazily, writes them concurrently and with care."""

from typing import Any

from .batch import Batch, BatchReport, Outcome
from .client import Application, LosantClient
from .errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    LosantError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ResponseFormatError,
    ServerError,
    TransportError,
)
from .groups import ExperienceGroups
from .models import DeviceTag, ExperienceGroup, NewExperienceGroup, Page
from .paging import Paginator

__all__ = [
    "ApiError",
    "Application",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchReport",
    "ConfigurationError",
    "DeviceTag",
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
    "RateLimitError",
    "RequestTimeoutError",
    "ResponseFormatError",
    "ServerError",
    "TransportError",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("aiolosant")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
