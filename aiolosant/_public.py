"""The public names of the package, which gets them from here when the first of them is asked for."""

from ._batch.batch import Batch
from ._batch.outcome import BatchReport, Outcome
from ._http.auth import TokenProvider
from ._http.retry import RetryPolicy
from ._paging.paginator import Paginator
from .client import Application, LosantClient
from .errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    DuplicateGroupError,
    GatewayError,
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
    UnsafePlanError,
)
from .events import Stats
from .groups import ExperienceGroups
from .identity import Identity, MatchBy, by_id, by_name, by_tag
from .models import DeviceTag, ExperienceGroup, GroupChanges, NewExperienceGroup, Page
from .query import Q, Query

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
    "GatewayError",
    "GroupChanges",
    "Identity",
    "LosantClient",
    "LosantError",
    "MatchBy",
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
    "Stats",
    "TokenProvider",
    "TransportError",
    "UnsafePlanError",
    "by_id",
    "by_name",
    "by_tag",
]
