"""Pulls the items of a batch out of its input, sync or async, no further ahead than there is room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any

from .transport import Transport


class Intake:
    """The input of a batch: an iterable is pulled at once, an async one by a task of its own, which nobody waits for.

    Args:
        items: The input.
        has_room: Whether one more item may be pulled.
        take: Called with each item.
        fail: Called with the error that the input raised.
        wake: Called when an async input has ended.
        transport: Owns the task.

    Attributes:
        exhausted: Whether the input has come to its end.
        task: What pulls an async input; None when nothing does.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        has_room: Callable[[], bool],
        take: Callable[[Any], None],
        fail: Callable[[BaseException], None],
        wake: Callable[[], None],
        transport: Transport,
    ) -> None:
        self.exhausted = False
        self.task: asyncio.Task[None] | None = None
        self._async_items = aiter(items) if isinstance(items, AsyncIterable) else None
        self._items = iter(()) if isinstance(items, AsyncIterable) else iter(items)
        self._has_room = has_room
        self._take = take
        self._fail = fail
        self._wake = wake
        self._transport = transport
        self._room = asyncio.Event()
        self._stopped = False

    def pull(self) -> None:
        """Pull as long as there is room; an async input goes on by itself."""
        if self._async_items is None:
            self._pull_now()
            return
        self.notice_room()
        if self.task is None and not self.exhausted and not self._stopped:
            self.task = self._transport.start_task(self._pull_async(self._async_items))
            self.task.add_done_callback(self._task_ended)

    def notice_room(self) -> None:
        """Let an async input go on if there is room."""
        if self._async_items is not None and self._may_pull():
            self._room.set()

    def stop(self) -> None:
        """Pull nothing more."""
        self._stopped = True
        if self.task is not None:
            self.task.cancel()

    def let_go(self) -> None:
        """Forget the input: a generator that nobody else has is closed, and with it the file that it reads."""
        self._items, self._async_items = iter(()), None

    def _may_pull(self) -> bool:
        return not self.exhausted and not self._stopped and self._has_room()

    def _pull_now(self) -> None:
        while self._may_pull():
            try:
                item = next(self._items)
            except StopIteration:
                self.exhausted = True
            except Exception as error:  # noqa: BLE001 - raised to the consumer once what is on the wire has ended
                self._fail(error)
            else:
                self._take(item)

    async def _pull_async(self, items: AsyncIterator[Any]) -> None:
        # One task from start to end: an input may hold timeouts and context variables across its items.
        try:
            while not self._stopped:  # it may have swallowed its cancellation
                if self._may_pull():
                    self._take(await anext(items))
                else:
                    self._room.clear()
                    await self._room.wait()
        except StopAsyncIteration:
            self.exhausted = True
        except asyncio.CancelledError:
            if self._stopped:
                raise
            # Nobody here cancelled it: something that the input waits for was, and the input is lost with it.
            self._fail(RuntimeError("the input of the batch was cancelled"))
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def _task_ended(self, _task: asyncio.Task[None]) -> None:
        self.task = None
        self._wake()
