"""As much of an application, and of whoever asks, as groups need.

Follows https://docs.losant.com/rest-api/application/ and https://docs.losant.com/rest-api/me/.
"""

from __future__ import annotations

from .operation import Call, Operation
from .parameters import MeParameters, SummaryParameters


def _application(call: Call) -> object:
    return {
        "_type": "application",
        "id": call.application_id,
        "applicationId": call.application_id,
        "name": "Emulated application",
    }


def _me(_call: Call) -> object:
    return {"_type": "me", "id": "0" * 24, "userId": "0" * 24, "email": "nobody@example.com", "fullName": "Nobody"}


ACCOUNT_OPERATIONS = (
    Operation("GET", "/applications/{applicationId}", "application.get", _application, SummaryParameters),
    Operation("GET", "/me", "me.get", _me, MeParameters),
)
