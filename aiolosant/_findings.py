"""What the doctor says: findings, and a report of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import attrs

from .errors import LosantError

Verdict = Literal["as assumed", "otherwise", "unknown"]
"""What a finding says of an assumption of this package."""


@attrs.frozen
class Finding:
    """What was found out.

    Attributes:
        name: What it is about, in a few words.
        verdict: Whether it is `as assumed`, `otherwise`, or `unknown`.
        seen: What was seen, in a sentence.
        breaks: What of this package breaks if it is not as assumed; "" for nothing.
        failed: Whether it is unknown because a request failed.
    """

    name: str
    verdict: Verdict
    seen: str
    breaks: str = ""
    failed: bool = False

    def __str__(self) -> str:
        breaks = f" Then {self.breaks}." if self.verdict == "otherwise" and self.breaks else ""
        return f"{self.verdict:<10}  {self.name}: {self.seen}.{breaks}"


@attrs.frozen
class Report:
    """All findings; as text it can be pasted into an issue, since it holds no secret.

    Attributes:
        findings: In the order in which they were made.
        settle_time: After how many seconds every write showed in lists, with a small margin: the least to give to
            `RetryPolicy(settle_time=)` or LOSANT_SETTLE_TIME. None if it was not measured.
        about: The versions, the address and the settings that were used, by their names.
    """

    findings: tuple[Finding, ...]
    settle_time: float | None = None
    about: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all could be found out, and nothing of this package breaks; what differs harmlessly is no matter."""
        return not any(
            finding.failed or (finding.verdict == "otherwise" and finding.breaks) for finding in self.findings
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it: `about`, `settleTime` in seconds or null, and the `findings`."""
        findings = [attrs.asdict(finding) for finding in self.findings]
        return {"about": dict(self.about), "settleTime": self.settle_time, "findings": findings}

    def __str__(self) -> str:
        lines = [", ".join(f"{name} {value}" for name, value in self.about.items())] if self.about else []
        lines += map(str, self.findings)
        if self.settle_time is not None:
            lines.append(f"settle_time should be {self.settle_time:g} or more: see LOSANT_SETTLE_TIME")
        return "\n".join(lines)


@attrs.frozen
class Seen:
    """What a check has seen.

    Attributes:
        holds: Whether it is as assumed; None if that cannot be told.
        text: What was seen, in a sentence.
        breaks: What breaks if it is not as assumed.
    """

    holds: bool | None
    text: str
    breaks: str = ""


def as_assumed(text: str) -> Seen:
    """Return that what was seen is as assumed."""
    return Seen(holds=True, text=text)


def otherwise(text: str, breaks: str = "") -> Seen:
    """Return that what was seen is otherwise than assumed, and what that breaks."""
    return Seen(holds=False, text=text, breaks=breaks)


def unknown(text: str) -> Seen:
    """Return why nothing can be told."""
    return Seen(holds=None, text=text)


Check = Callable[[], Awaitable[Seen]]
_VERDICTS: dict[bool | None, Verdict] = {True: "as assumed", False: "otherwise", None: "unknown"}


async def checked(name: str, check: Check) -> Finding:
    """Return what a check finds; what it fails with is a finding too."""
    try:
        seen = await check()
    except LosantError as error:
        return Finding(name, "unknown", f"it could not be found out: {error}".rstrip("."), failed=True)
    return Finding(name, _VERDICTS[seen.holds], seen.text, seen.breaks)
