"""An event loop whose clock jumps to the next timer, so that hours pass at once and no machine is too slow."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: what would have been waited is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits, and for nothing that has a time")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose time is virtual."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine to its end in virtual time, which is that of `time.time` too."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner, mock.patch("time.time", runner.get_loop().time):
        return runner.run(work())
