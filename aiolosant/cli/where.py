"""Which application a command is about."""

from __future__ import annotations

import attrs
import typer

from aiolosant._http import codec
from aiolosant._http.deadline import Deadline
from aiolosant._http.request import Request
from aiolosant.client import LosantClient
from aiolosant.errors import PermissionDeniedError
from aiolosant.groups import parts_of

from .console import printable
from .progress import Ticker


@attrs.frozen
class Where:
    """The application that a command is about.

    Attributes:
        application_id: Its id.
        name: What it is called; "" if the token may not read that.
        url: The address of the API.
    """

    application_id: str
    name: str
    url: str

    @property
    def label(self) -> str:
        """The name, if it is known, and the id."""
        return f"{self.name!r} ({self.application_id})" if self.name else self.application_id


async def tell_where(losant: LosantClient) -> Where:
    """Find out what the application is called, and say on stderr where this is going to happen.

    Raises:
        LosantError: There is no such application, or nobody answers.
    """
    endpoint, _ = parts_of(losant.experience_groups)
    try:
        path, transport = f"/applications/{endpoint.application_id}", endpoint.transport
        request = Request(method="GET", path=path, decode=codec.decode_any)
        async with Ticker("applications looked up", 1, transport.throttle):
            found = await transport.call(request, Deadline(transport.timeout, patient=True))  # it waits out an outage
    except PermissionDeniedError:  # which groups do not need
        found = {}
    where = Where(endpoint.application_id, str(found.get("name") or ""), endpoint.transport.base_url)
    typer.echo(f"application {printable(where.label)} at {where.url}", err=True)
    return where
