"""The async client for Losant's Experience Groups: reads any number lazily, writes them concurrently and with care.

    async with LosantClient(token, application_id="575ec8687ae143cd83dc4a97") as losant:
        async for group in losant.experience_groups.list(filter="my*group"):
            print(group.name)

`LosantClient` owns the session; its `experience_groups` are the verbs (`ExperienceGroups`): `list`, `scan`, `get`,
`create`, `update`, `delete`, `add_members`, and `create_many` and its kin. What is sent is a `NewExperienceGroup`,
what comes back an `ExperienceGroup`. `by_name`, `by_tag` and `by_id` say what makes two groups the same, `Q` builds
advanced queries, `RetryPolicy` says how persistent to be, and every error is a `LosantError`.

What can be observed is in `aiolosant.events`, migrations are in `aiolosant.reconcile`, an embedded Losant is in
`aiolosant.emulator`, fixtures for tests are in `aiolosant.pytest_plugin`. The API itself:
https://docs.losant.com/rest-api/experience-groups/
"""

from ._batch.batch import Batch
from ._batch.outcome import BatchReport, Outcome
from ._http.auth import TokenProvider
from ._http.retry import RetryPolicy
from ._paging.paginator import Paginator
from ._version import VERSION
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

__version__ = VERSION

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
