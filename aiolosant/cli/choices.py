"""What the options of the commands say, put together; light to import, since it is needed to say how they are used."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from aiolosant.errors import ConfigurationError

from .parsing import parsed_time

if TYPE_CHECKING:
    from aiolosant.client import LosantClient


# What only the events `Resending`, `Paused` and `Settled` have.
_OF_REQUESTS = ("delay", "seconds", "group_id")


@attrs.frozen
class Connection:
    """What a command says of how it talks to Losant.

    Attributes:
        timeout: Seconds for one request and its retries, as a time such as `90s`.
        max_rate: The most requests a second; None for what the server takes.
        patience: How long to wait for a server that is out of reach, as a time such as `10m`.
        allow_http: Whether http may be spoken to another machine.
        verbose: How much to log to stderr: 0 warnings, 1 what happens, 2 each request.
        log_file: Where to log everything; None for nowhere.
    """

    timeout: str = "60s"
    max_rate: float | None = None
    patience: str = "2m"
    allow_http: bool = False
    verbose: int = 0
    log_file: Path | None = None

    def client(self, application: str | None, **others: Any) -> LosantClient:
        """Return a client out of the environment, for the application that was asked for or the environment's own.

        Raises:
            ConfigurationError: There is no token, or no application.
            ValueError: A time is none.
        """
        from aiolosant.client import LosantClient, retry_from_env

        from .outage import OutageTeller

        application = application or os.environ.get("LOSANT_APPLICATION_ID")
        if not application:
            raise ConfigurationError("no application; pass --application or set LOSANT_APPLICATION_ID")
        teller = None if self.verbose else OutageTeller()  # a log says it already, and more
        client = LosantClient.from_env(
            application_id=application,
            timeout=parsed_time("--timeout", self.timeout),
            retry=retry_from_env(patience=parsed_time("--patience", self.patience)),
            max_rate=self.max_rate,
            allow_http=self.allow_http,
            on_event=teller,
            **others,
        )
        if teller is not None:
            teller.stats = client.stats
        return client

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        """Log to stderr and to the file, as it was asked for.

        Raises:
            OSError: The file cannot be written.
        """
        logger, level = logging.getLogger("aiolosant"), {0: logging.WARNING, 1: logging.INFO}.get(self.verbose, 10)
        handlers: list[logging.Handler] = [logging.StreamHandler()]
        handlers[0].setLevel(level)
        if not self.verbose:  # what becomes of a single request is nothing to be told at each one
            handlers[0].addFilter(lambda record: not any(hasattr(record, name) for name in _OF_REQUESTS))
        handlers[0].setFormatter(logging.Formatter("aiolosant: %(message)s"))
        if self.log_file is not None:
            handlers.append(logging.FileHandler(self.log_file, encoding="utf-8"))
            handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        before = logger.level
        logger.setLevel(logging.DEBUG if self.log_file else level)
        for handler in handlers:
            logger.addHandler(handler)
        try:
            yield
        finally:
            logger.setLevel(before)
            for handler in handlers:
                logger.removeHandler(handler)
                handler.close()


@attrs.frozen
class HowToRead:
    """What the options of a command say of its files.

    Attributes:
        delimiter: What separates the columns of a CSV; None to find out. `tab` is a tab.
        map: `OLD=NEW` for each column with another name than the API's.
        ignore_columns: Columns to leave out, separated by commas.
        levels: Columns that make the tree, separated by commas.
        format: The format, whatever the name ends in; None to go by that.
        empty: `keep` or `clear`.
        members_mode: `replace`, `add`, or None for what the file says.
        mapping: A TOML file that says the same.
    """

    delimiter: str | None = None
    map: tuple[str, ...] = ()
    ignore_columns: str = ""
    levels: str = ""
    format: str | None = None
    empty: str | None = None
    members_mode: str | None = None
    mapping: Path | None = None


@attrs.frozen
class HowToPlan:
    """What the options of a command say of how a plan is made, and of what it may do.

    Attributes:
        match_by: Which live group a record is: `name`, `id` or `tag:KEY`.
        adopt_by: `name`, or None.
        prune: Whether to delete what no record wants.
        under: Id or path of a group that all is to be below; None for the whole application.
        max_deletes: A number or a share.
        max_changes: The same for all changes; None for any number.
        read: How the file is read.
    """

    match_by: str = "name"
    adopt_by: str | None = None
    prune: bool = False
    under: str | None = None
    max_deletes: str = "10%"
    max_changes: str | None = None
    read: HowToRead = attrs.field(factory=HowToRead)


@attrs.frozen
class HowToApply:
    """What the options of a command say of how a plan is carried out.

    Attributes:
        concurrency: Most changes under way at a time.
        as_json: Whether to print a line of JSON for each outcome.
        results: The folder for the journal; None for none.
        report: The page to write in the end; None for none.
    """

    concurrency: int = 16
    as_json: bool = False
    results: Path | None = None
    report: Path | None = None


@attrs.frozen
class Pace:
    """How fast the rehearsal's server is.

    Attributes:
        latency: Milliseconds that each answer takes; None for as long as the live one takes.
        rate_limit: Requests a second; None for no limit.
    """

    latency: float | None = None
    rate_limit: float | None = None
