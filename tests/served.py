"""An emulator and the commands of this process that speak with it."""

from collections import Counter
from typing import Any

from typer.testing import CliRunner

from aiolosant.cli.app import app
from aiolosant.emulator import Emulator


class Served:
    """An emulator, and commands whose environment points at it."""

    def __init__(self) -> None:
        self.emulator = Emulator()
        self.emulator.start()
        self.environment = {
            "LOSANT_API_URL": self.emulator.url,
            "LOSANT_API_TOKEN": self.emulator.token,
            "LOSANT_APPLICATION_ID": self.emulator.application_id,
        }

    def close(self) -> None:
        self.emulator.close()

    def groups(self, application_id: str | None = None) -> list[dict[str, Any]]:
        """All groups, by the server's own count."""
        return self.emulator.groups(application_id=application_id)

    def paths(self, application_id: str | None = None) -> Counter[str]:
        """The paths of names of all groups."""
        groups = {group["id"]: group for group in self.groups(application_id)}
        return Counter(
            "/".join([*(groups[above]["name"] for above in group["ancestorIds"]), group["name"]])
            for group in groups.values()
        )

    def run(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run a command in this process."""
        return CliRunner().invoke(app, arguments, env=self.environment, input=stdin)
