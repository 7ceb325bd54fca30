"""An emulator on a thread of its own, for commands that run in this process."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from typer.testing import CliRunner

from aiolosant.cli.app import app
from aiolosant.emulator import Emulator


class Served:
    """An emulator on a thread of its own, so that commands can have this one's."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.emulator = self.do(self._start)
        self.environment = {
            "LOSANT_API_URL": self.emulator.url,
            "LOSANT_API_TOKEN": self.emulator.token,
            "LOSANT_APPLICATION_ID": self.emulator.application_id,
        }

    async def _start(self) -> Emulator:
        emulator = Emulator()
        await emulator.start()
        return emulator

    def do(self, work: Callable[[], Any]) -> Any:
        """What `work` returns or awaits, on the emulator's thread."""

        async def run() -> Any:
            result = work()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def close(self) -> None:
        self.do(self.emulator.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def groups(self, application_id: str | None = None) -> list[dict[str, Any]]:
        """All groups, by the server's own count."""
        groups: list[dict[str, Any]] = self.do(lambda: self.emulator.groups(application_id=application_id))
        return groups

    def paths(self, application_id: str | None = None) -> Counter[str]:
        """The paths of names of all groups."""
        groups = {group["id"]: group for group in self.groups(application_id)}
        return Counter(
            "/".join([*(groups[above]["name"] for above in group["ancestorIds"]), group["name"]])
            for group in groups.values()
        )

    def seed(self, records: list[dict[str, Any]], **options: Any) -> dict[str, str]:
        """Make groups."""
        ids: dict[str, str] = self.do(lambda: self.emulator.create_groups(records, **options))
        return ids

    def run(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run a command in this process."""
        return CliRunner().invoke(app, arguments, env=self.environment, input=stdin)
