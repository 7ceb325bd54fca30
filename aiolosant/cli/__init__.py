"""The `aiolosant` command, for those who installed the extra `cli`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; without the extra, say how to get it."""
    try:
        from .app import app
    except ImportError as error:
        if error.name not in ("typer", "rich", "click"):
            raise
        sys.exit(f"aiolosant: {error.name} is missing; install the command with: pip install 'aiolosant[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    app()
