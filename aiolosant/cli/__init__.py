"""The `aiolosant` command, for those who installed the extra `cli`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; without the extra, say how to get it."""
    try:
        from .commands import app
    except ImportError as error:
        if error.name not in ("typer", "rich", "click"):
            raise
        sys.exit(f"aiolosant: {error.name} is missing; install the command with: pip install 'aiolosant[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    app()


def __getattr__(name: str) -> object:
    # The Typer application, imported when somebody asks for it: it needs the extra.
    if name == "app":
        from .commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
