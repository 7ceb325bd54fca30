"""The token: given once, or asked of a provider, with one question for all that wait for the answer."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from .._validation import plain
from ..errors import ConfigurationError

_SHORTEST_TOKEN = 8

# Whose provider the current task is, directly or further up.
_asking: ContextVar[frozenset[Auth]] = ContextVar("asking", default=frozenset())

TokenProvider = Callable[[], Awaitable[str]]


class Secret:
    """A token whose repr does not show it, so that a traceback with locals does not either.

    Attributes:
        text: The token itself.
        was_good: Whether the server has ever taken it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.was_good = False

    def masked_in(self, text: str) -> str:
        """Return `text` with asterisks in place of the token."""
        # A token as short as a test's may be part of any word; it is looked for only as a header has it.
        start = "" if len(self.text) >= _SHORTEST_TOKEN else "Bearer "
        # JSON can write a character in three ways.
        letters = (rf"(?:\\?{re.escape(letter)}|\\u00(?i:{ord(letter):02x}))" for letter in self.text)
        return re.sub(f"({start}){''.join(letters)}", r"\1***", text)

    def __repr__(self) -> str:
        return "Secret(***)"


class Auth:
    """Knows the token, and where a new one comes from.

    Args:
        token: The token, or an async callable that returns one. It is asked when the first token is needed, and again
            when the last one was refused.

    Attributes:
        known: The token to send; None if it has to be asked for.

    Raises:
        TypeError: `token` is neither text nor callable.
        ValueError: `token` cannot be sent in a header; the message does not show it.
    """

    def __init__(self, token: str | TokenProvider) -> None:
        try:
            self._provider = token if callable(token) else None
            self.known: Secret | None = None if callable(token) else _checked(token)
        finally:
            del token  # what shows tracebacks may show locals
        self._task: asyncio.Task[Secret] | None = None
        self._waiting = 0  # for the task's answer
        self._closed = False

    async def token(self) -> Secret:
        """Return the token to send, asked for if need be.

        Raises:
            ConfigurationError: The client is closed.
            Exception: Whatever the provider raises.
        """
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        if self in _asking.get():
            raise ConfigurationError(
                "the token provider calls its own client, which waits for the token; use another one"
            )
        return self.known or await self._ask()

    async def renew(self, refused: Secret) -> bool:
        """Get another token than the one that was refused. Return False if there is no other."""
        if self._provider is None:
            return False
        # Another caller may have got a new token meanwhile; a late 401 for the old one says nothing about that.
        if self.known is refused:
            self.known = None
        return (await self.token()).text != refused.text

    def close(self) -> None:
        """Ask the provider for nothing more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    async def _ask(self) -> Secret:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ask_provider())
            self._task.add_done_callback(self._answered)
        task, caller = self._task, asyncio.current_task()
        self._waiting += 1
        try:
            # Shielded, because one caller's cancellation is not the others'.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and not (caller and caller.cancelling()):
                raise ConfigurationError("no token: the client was closed, or the provider was cancelled") from None
            if self._task is task and self._waiting == 1:
                # Nobody waits for this answer any more; perhaps it never comes, and the next call asks afresh.
                self._task = None
                task.cancel()
            raise
        finally:
            self._waiting -= 1

    async def _ask_provider(self) -> Secret:
        assert self._provider is not None  # noqa: S101 - a token that is text is never asked for
        _asking.set(_asking.get() | {self})
        asked = self._provider()
        if not inspect.isawaitable(asked):
            kind = type(asked).__name__
            del asked  # it may be the token, and what shows tracebacks may show locals
            raise TypeError(f"token must be text or an async callable; what was called gave {kind}")
        return _checked(await asked)

    def _answered(self, task: asyncio.Task[Secret]) -> None:
        if self._task is task:
            self._task = None
        # Asking for the exception marks it as retrieved: perhaps nobody waits for it any more.
        if not task.cancelled() and task.exception() is None:
            self.known = task.result()


def _checked(token: object) -> Secret:
    problem: Exception
    if not isinstance(token, str):
        problem = TypeError(f"token must be text or an async callable that returns it, not {type(token).__name__}")
    # Only visible ASCII can go into a header.
    elif not token or not all("!" <= character <= "~" for character in token):
        problem = ValueError("token must be visible ASCII characters without blanks")
    else:
        return Secret(plain(token))
    del token  # what shows tracebacks may show locals
    raise problem
