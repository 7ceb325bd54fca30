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

import importlib
from typing import TYPE_CHECKING

from ._version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from ._public import *  # noqa: F403 - all of it, and what that is stands there
    from ._public import __all__ as __all__
else:  # unseen by type checkers, which would take any name for one that is there

    def __getattr__(name: str) -> object:
        """Import the public names when one of them is asked for: the command says how it is used without aiohttp."""
        public = importlib.import_module("._public", __name__)
        globals().update({one: getattr(public, one) for one in ("__all__", *public.__all__)})
        if name not in globals():  # where modules of the package are as well, once they are imported
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def __dir__() -> list[str]:
        """Return all names, those too that were not asked for yet."""
        __getattr__("__all__")
        return sorted(globals())
