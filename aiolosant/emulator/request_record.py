"""What an emulator keeps of each request."""

from __future__ import annotations

import attrs


@attrs.define
class RequestRecord:
    """One request, in the order of arrival.

    Attributes:
        method: Its HTTP method.
        path: Its path, without the query.
        query: Its query parameters.
        time: When it came, in seconds on the clock of event loops (`time.monotonic`).
        status: The status of the answer; None until there is one, 499 if the connection was cut instead.
        body: Its body.
        headers: Its headers, by their names in lower case. A token is shown as `***`.
    """

    method: str
    path: str
    query: dict[str, str]
    time: float
    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)
