"""The token: given once, or asked of a provider, with one question for all that wait for the answer."""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import inspect
import json
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import attrs

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

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says of itself, if it is a JSON Web Token; it is not verified here."""
        try:
            _, payload, _ = self.text.split(".")
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except ValueError:
            return {}
        return claims if isinstance(claims, dict) else {}

    def __repr__(self) -> str:
        return "Secret(***)"


class Auth:
    """Knows the token, and where a new one comes from.

    Args:
        token: The token, or an async callable that returns one. It is asked when the first token is needed, and again
            when the last one was refused.

    Attributes:
        known: The token to send; None if it has to be asked for.
        renewals: How often the provider has returned a token.

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
        self.renewals: int = 0
        self._question: _Question | None = None  # the one that who comes next waits for as well
        self._questions: set[_Question] = set()  # all that are under way
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
        for question in self._questions:
            question.task.cancel()

    async def _ask(self) -> Secret:
        if self._question is None:
            self._question = _Question(asyncio.get_running_loop().create_task(self._ask_provider()))
            self._questions.add(self._question)
            self._question.task.add_done_callback(functools.partial(self._answered, self._question))
        question = self._question
        # A future for each that waits, because one caller's cancellation is not the others'.
        waiter: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()
        question.waiters[waiter] = None
        try:
            return await waiter
        except asyncio.CancelledError:
            # Perhaps the provider hangs: whoever comes next asks afresh.
            if self._question is question:
                self._question = None
            del question.waiters[waiter]
            if not question.waiters:
                question.task.cancel()
            raise

    def _answered(self, question: _Question, task: asyncio.Task[Secret]) -> None:
        self._questions.discard(question)
        question.answered(task)

    async def _ask_provider(self) -> Secret:
        assert self._provider is not None  # noqa: S101 - a token that is text is never asked for
        _asking.set(_asking.get() | {self})
        asked = self._provider()
        if not inspect.isawaitable(asked):
            kind = type(asked).__name__
            del asked  # it may be the token, and what shows tracebacks may show locals
            raise TypeError(f"token must be text or an async callable; what was called gave {kind}")
        # Known at once: whoever comes before those that wait have run need not ask again.
        try:
            self.known = _checked(await asked)
            self.renewals += 1
        finally:
            if self._question is not None and self._question.task is asyncio.current_task():
                self._question = None
        return self.known


@attrs.define(eq=False)
class _Question:
    """A call of the provider, and those that wait for what it returns."""

    task: asyncio.Task[Secret]
    waiters: dict[asyncio.Future[Secret], None] = attrs.field(factory=dict)

    def answered(self, task: asyncio.Task[Secret]) -> None:
        """Give to all that wait what the provider returned or raised."""
        error = None if task.cancelled() else task.exception()
        for waiter in self.waiters:
            if waiter.done():
                continue
            if task.cancelled():
                text = "no token: the client was closed, or the provider was cancelled"
                waiter.set_exception(ConfigurationError(text))
            elif error is not None:
                one = copy.copy(error)  # each caller's own, since errors are told where they were
                one.__cause__ = error.__cause__
                waiter.set_exception(one)
            else:
                waiter.set_result(task.result())


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
