"""The emulator as one object: starts and stops a server on a thread of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from .admin import Admin
from .api import Api
from .controls import Controls
from .quirks import Quirks
from .schemas import ID
from .serving import ServingThread
from .state import State
from .traffic import Traffic


class Emulator(Controls):
    """A Losant of one's own: `with Emulator() as emulator`, or `async with`, or `start()` and `close()`.

    It serves from a thread of its own, whether or not an event loop runs here, and its methods may be called from any
    thread. It listens on this machine only and keeps its groups in memory, unless it is told otherwise.

    Args:
        port: Port to listen on; 0 for any that is free.
        host: Address to listen on; `0.0.0.0` lets other machines in.
        data: A file to keep the groups in, made if it is not there; None for memory.
        token: The token to ask for; None for the one that `data` knows, or a new one. Another than `data` knows takes
            its place.
        application_id: Id of the first application; None for the one that `data` has, or a new one.
        strict: Whether query parameters that Losant does not declare are refused with a 400, instead of ignored as
            Losant does. It finds mistakes in tests.
        quirks: In what it is wrong on purpose, so that what relies on Losant's being otherwise is found: names of
            `aiolosant.emulator.QUIRKS`, which says what each does.
        seed: Makes ids, and the token if it is new, the same in each run; None for new ones.

    Raises:
        ValueError: `token` cannot be sent in a header, `application_id` is not 24 hex digits, or `data` is another
            program's file, or there is no such quirk.
        sqlite3.Error: `data` is no database, or another emulator has it open.
    """

    _is_made = False

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        data: str | os.PathLike[str] | None = None,
        token: str | None = None,
        application_id: str | None = None,
        strict: bool = False,
        quirks: Iterable[str] = (),
        seed: int | None = None,
    ) -> None:
        if token is not None and not (token and all("!" <= character <= "~" for character in token)):
            raise ValueError("token must be visible ASCII characters without blanks")
        if application_id is not None and not (isinstance(application_id, str) and ID.fullmatch(application_id)):
            raise ValueError(f"application_id must be 24 hex digits, not {application_id!r}")
        wrong = Quirks(quirks)
        super().__init__(State(data, token=token, application_id=application_id, seed=seed))
        api = Api(self._state, strict=strict, quirks=wrong)
        traffic = Traffic(self, api, Admin(self, api))
        self._server = ServingThread(traffic.handle, host, port)
        self._host = host
        self._port = port
        self._started = self._closed = False
        self._is_made = True

    def __setattr__(self, name: str, value: object) -> None:
        if self._is_made and not hasattr(self, name):
            raise AttributeError(f"an emulator has no {name}, so that to set it would do nothing")
        super().__setattr__(name, value)

    @property
    def url(self) -> str:
        """The address to give a client as its `base_url`."""
        # What listens everywhere is asked here.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - the caller's choice
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def start(self) -> None:
        """Listen; from now on `url` is right.

        Raises:
            OSError: The port is in use, or `host` is not this machine's. The emulator is closed then.
            RuntimeError: It was started already, or it is closed.
        """
        if self._closed:
            raise RuntimeError("a closed emulator cannot be started again; make a new one, perhaps with data=")
        if self._started:
            raise RuntimeError("the emulator was started already")
        self._started = True
        try:
            self._host, self._port = self._server.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop listening, cut what is under way, and forget what is not in a file. Twice does no harm."""
        self._closed = True
        self._server.stop()
        self._state.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
