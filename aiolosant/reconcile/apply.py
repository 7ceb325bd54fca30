"""Carrying out a plan: each change as soon as what it needs is there."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from .._batch.batch import Outcomes
from .._batch.exactly_once import Created, ExactlyOnce
from .._batch.jobs import FATAL, look_ahead
from .._batch.lookup import GATHER
from .._batch.readings import Premise, Reading, Readings
from .._batch.workers import GaveUp, Item, Permit, Workers
from .._http.endpoint import GroupsEndpoint
from .._validation import check_range
from ..errors import LosantError, NotFoundError, OutcomeUnknownError
from ..groups import ExperienceGroups, parts_of
from ..identity import ByName, ByTag, without_id
from ..models import ExperienceGroup, NewExperienceGroup, differing, unfulfilled
from .change import Change, ChangeOutcome, other_than_wanted
from .journal import Journal
from .plan import Plan
from .runs import check_application
from .schedule import Schedule, Step
from .wanted import own_texts, with_own_id


def apply(
    groups: ExperienceGroups, plan: Plan, *, concurrency: int = 16, journal: str | os.PathLike[str] | None = None
) -> Applying:
    """Carry out a plan; yields a `ChangeOutcome` for each change as it completes.

    A group is created or moved as soon as its own parent is in place. Creates are exactly-once, by the plan's
    `match_by`. Before an update or a delete the group is read again, many in one query, and left alone if somebody has
    changed it; that reading is at most a second old when the request is sent, or as old as twenty requests take at
    the server's pace (30 seconds at most). Deletes come last, and only if all else went well. What is
    interrupted is resumed by a new plan.

    Args:
        groups: The groups that the plan was made for.
        plan: What to do.
        concurrency: How many changes to have under way at a time, 1 or more. Lookups ahead of them come on top.
        journal: A folder, made if it is not there, for what was there before each write and what became of it, so that
            `undo` finds the way back, whenever this is killed: `journal.jsonl`, `done.csv`, `failed.csv` (mend it and
            apply it) and `ids.json` (the live id of each record's id; after a kill it may lack the last second). It is
            opened by this call: walk what this returns, or `aclose()` it. None for none.

    Raises:
        TypeError: `plan` is no Plan.
        ValueError: `concurrency` is below 1.
        PlanError: The plan was made for another application, or the folder holds another one's journal.
        OSError: The folder cannot be written to. If that happens later, what was begun settles and then it is raised.
    """
    endpoint, locks = parts_of(groups)
    if not isinstance(plan, Plan):
        raise TypeError(f"plan must be a Plan, not {type(plan).__name__}")
    check_range("concurrency", concurrency, 1)
    check_application("the plan", plan.application_id, endpoint.application_id)
    once = ExactlyOnce(endpoint, without_id(plan.match_by), locks, gather=GATHER)
    steps = _Steps(plan)
    written = None if journal is None else Journal(Path(journal), plan)
    job = _ApplyJob(endpoint, plan, steps, once, concurrency=concurrency, journal=written)
    return Applying(Workers(steps, job, concurrency=concurrency, transport=endpoint.transport))


class Applying(Outcomes[ChangeOutcome]):
    """Outcomes of a plan as they complete: an async iterator, walked once.

    Nothing is sent before the first outcome is asked for. An error that would fail every change, such as a wrong token,
    stops it: requests in flight finish, their outcomes are yielded, and then the error is raised. After `break` nothing
    new is sent; `aclose()` and a cancellation also wait for what is on the wire, and the same iterator then yields what
    became of that.
    """


class _StaleError(LosantError):
    advice = "It was left as it is; plan again."


class _SkippedError(LosantError):
    advice = "Plan again when that is fixed."


class _Steps:
    """The input of the workers: each change as soon as it may happen."""

    def __init__(self, plan: Plan) -> None:
        self._schedule = Schedule(plan.changes)
        self._wake = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Step:
        if not self._schedule.left:
            raise StopAsyncIteration
        while (step := self._schedule.next()) is None:
            self._wake.clear()
            await self._wake.wait()
        return step

    def by_urgency(self) -> list[int]:
        """Return the indexes of all changes, those with the longest chain of changes behind them first."""
        return self._schedule.by_urgency()

    def urgency(self, index: int) -> int:
        """Return how urgent a change is; the smallest number comes first."""
        return self._schedule.urgency(index)

    def ended(self, index: int, *, ok: bool) -> None:
        """Note that a change has ended, so that what waits for it may happen."""
        self._schedule.ended(index, ok=ok)
        self._wake.set()


class _ApplyJob:
    """What is done with each step of a plan.

    Attributes:
        ahead: How many steps to pull beyond those under way.
        fatal: Errors of a step that end the run. A 404 tells that the application is gone.
    """

    fatal: tuple[type[LosantError], ...] = (*FATAL, NotFoundError)

    def __init__(
        self,
        endpoint: GroupsEndpoint,
        plan: Plan,
        steps: _Steps,
        once: ExactlyOnce,
        *,
        concurrency: int,
        journal: Journal | None,
    ) -> None:
        self._endpoint = endpoint
        self._transport = endpoint.transport
        self._identity = without_id(plan.match_by)
        self._steps = steps
        self._journal = journal
        self._once = once
        self._made: dict[int, tuple[ExperienceGroup, bool]] = {}  # by index, and whether this very run made it
        self._readings = {"update": Readings(endpoint), "delete": Readings(endpoint, with_children=True)}
        # What the plan changes itself is no surprise, though a list may still show it where it was.
        self._own = {change.group_id.lower() for change in plan.changes if change.group_id is not None}
        self.ahead = look_ahead(concurrency)
        for index in steps.by_urgency():
            change = plan.changes[index]
            if (key := self._key_ahead(change)) is not None:
                once.lookups.expect(key)
            if change.group_id is not None and change.action in self._readings:
                self._readings[change.action].expect(change.group_id)

    def accept(self, item: Item) -> None:
        """Let the change with the longest chain of changes behind it begin first."""
        item.urgency = self._steps.urgency(item.given.index)

    async def do(self, item: Item, permit: Permit) -> ChangeOutcome:
        """Make the change, if what it needs is there and nobody has changed the group."""
        step: Step = item.given
        ok = False
        try:
            outcome = await self._outcome(step, permit)
            ok = outcome.ok
            return self._written(step, outcome)
        finally:
            self._steps.ended(step.index, ok=ok)

    def gave_up(self, item: Item, error: BaseException, status: GaveUp) -> ChangeOutcome:
        """Return the outcome of a change whose `do` raised an error or never ran."""
        return self._written(item.given, ChangeOutcome(item.given.change, status, None, error))

    def _written(self, step: Step, outcome: ChangeOutcome) -> ChangeOutcome:
        if self._journal is not None:
            self._journal.end(step.index, outcome)
        return outcome

    def _begin(self, step: Step, fields: Mapping[str, Any], before: ExperienceGroup | None) -> None:
        if self._journal is not None:
            ahead = self._transport.server_ahead
            if ahead is not None:
                ahead += asyncio.get_running_loop().time() - time.time()
            self._journal.begin(step.index, fields, before, ahead=ahead or 0.0)

    def report(self) -> None:
        """Return nothing: the changes of a plan are counted in no `BatchReport`."""

    def close(self) -> None:
        """Look up nothing more."""
        self._once.lookups.close()
        for readings in self._readings.values():
            readings.close()
        if self._journal is not None:
            self._journal.close()

    def _key_ahead(self, change: Change) -> Any:
        """Return the key by which a create can be looked up before its parent is there; None if there is none."""
        # A tag is the same wherever the group will be; a name counts under a parent that has an id.
        if change.action != "create" or (change.parent is not None and not isinstance(self._identity, ByTag)):
            return None
        return self._identity.key_of_fields(change.fields)

    async def _outcome(self, step: Step, permit: Permit) -> ChangeOutcome:
        change = step.change
        if step.obstacle is not None:
            if (key := self._key_ahead(change)) is not None:
                self._once.lookups.forget(key)
            if change.group_id is not None and change.action in self._readings:
                self._readings[change.action].forget(change.group_id)
            return ChangeOutcome(change, "skipped", None, _SkippedError(step.obstacle))
        acts = {"create": self._create, "update": self._update, "delete": self._delete}
        try:
            group, is_new = await acts[change.action](step, permit)
        except _StaleError as error:
            if permit.sent.in_doubt and change.action != "create":
                raise OutcomeUnknownError(f"an earlier attempt may have been carried out; {error.message}") from error
            return ChangeOutcome(change, "stale", None, error)
        except ValueError as error:
            return ChangeOutcome(change, "failed", None, error)
        return ChangeOutcome(change, "done" if is_new else "existing", group, None)

    async def _create(self, step: Step, permit: Permit) -> tuple[ExperienceGroup, bool]:
        change = step.change
        fields, fresh = dict(change.fields), False
        if change.parent is not None:
            parent, parent_is_ours = self._made[change.parent]
            fields["parent_id"] = parent.id
            # This very run has just made the parent, so that nobody else has put a group below it.
            fresh = parent_is_ours and isinstance(self._identity, ByName)
        # What names the group's own id has to wait until there is one.
        own = {} if change.record is None else own_texts(change.record)
        fields = {name: value for name, value in fields.items() if name not in own}
        new = NewExperienceGroup(**fields)
        begin = functools.partial(self._begin, step, fields, None)
        if change.is_alone:
            created = await self._once.create(new, self._once.key_of(new), permit, fresh=fresh, before_sending=begin)
        else:
            begin()
            request = self._endpoint.create_request(new)
            made = await self._transport.call(request, permit.deadline, permit.sent)
            created = Created(made, is_new=True, was_answered=True)
        there, is_new = created.group, created.is_new
        if own and is_new and change.record is not None:
            changes = with_own_id(own, change.record.id, there.id)
            if unfulfilled(there, changes):
                there = await self._put_own_id(there, changes, permit)
        if not created.was_answered and (others := other_than_wanted(change, {"parent_id": None} | fields, there)):
            raise _StaleError(f"somebody has created it since the plan was made, with another {', '.join(others)}")
        self._made[step.index] = there, is_new
        return there, is_new

    async def _put_own_id(self, made: ExperienceGroup, changes: Mapping[str, Any], permit: Permit) -> ExperienceGroup:
        permit.unsettled = True  # it is there, whatever becomes of this
        try:
            request = self._endpoint.update_request(made.id, changes)
            group = await self._transport.call(request, permit.deadline)
        except LosantError as error:
            raise OutcomeUnknownError(
                f"{made.id} was made, but its own id could not be put into its texts: {error.message}"
            ) from error
        permit.unsettled = False
        return group

    async def _update(self, step: Step, permit: Permit) -> tuple[ExperienceGroup, bool]:
        change = step.change
        fields = dict(change.fields)
        if change.parent is not None:
            fields["parent_id"] = self._made[change.parent][0].id
        reading = await self._read(change, permit)
        now = _checked_unchanged(change, fields, reading)
        if now is None:
            raise _StaleError("somebody has deleted the group since the plan was made")
        # Only what is still to be done: others may have added to the rest.
        needed = {name: fields[name] for name in other_than_wanted(change, fields, now)}
        if not needed:
            return now, False
        self._begin(step, needed, now)
        check = functools.partial(_checked_unchanged, change, fields)
        premise = Premise(self._readings["update"], reading, permit, check)
        request = self._endpoint.update_request(now.id, needed, premise, premise.is_news)
        try:
            with premise:
                return await self._transport.call(request, permit.deadline, permit.sent), True
        except NotFoundError:
            raise _StaleError("somebody has deleted the group meanwhile", attempts=permit.sent.attempts) from None

    async def _delete(self, step: Step, permit: Permit) -> tuple[ExperienceGroup | None, bool]:
        reading = await self._read(step.change, permit)
        check = functools.partial(self._checked_for_delete, step.change)
        now = check(reading)
        if now is None:
            return None, False
        self._begin(step, {}, now)
        premise = Premise(self._readings["delete"], reading, permit, check)
        try:
            with premise:
                await self._endpoint.delete(now.id, permit.deadline, permit.sent, premise, premise.is_news)
        except NotFoundError:
            return None, False
        return None, True

    def _checked_for_delete(self, change: Change, reading: Reading) -> ExperienceGroup | None:
        """Return the group of a delete as it was read; None if it was deleted.

        Raises:
            _StaleError: It was changed, or somebody has put others below it since: they would move up unseen.
        """
        now = _checked_unchanged(change, {}, reading)
        if now is None:
            return None
        if more := reading.children - {one.lower() for one in change.orphans} - self._own:
            raise _StaleError(
                f"somebody has put {len(more)} groups below it since the plan was made: {', '.join(more)}"
            )
        return now

    async def _read(self, change: Change, permit: Permit) -> Reading:
        if change.group_id is None:
            raise TypeError(f"{change.action} of a plan without the group that it is about")
        return await self._readings[change.action].read(change.group_id, permit)


def _checked_unchanged(change: Change, fields: Mapping[str, Any], reading: Reading) -> ExperienceGroup | None:
    """Return the group of a change as it was read; None if it was deleted.

    Raises:
        _StaleError: It matches neither what the plan was made from nor what the plan wants.
    """
    before, now = change.current, reading.group
    if before is None:
        raise TypeError(f"{change.action} of a plan without the group that it is about")
    if now is None:
        return None
    others = other_than_wanted(change, fields, now)
    if fields and not others:  # it is as it is wanted, whatever others have changed beside
        return now
    if changed := [name for name in differing(before, now) if name not in fields or name in others]:
        raise _StaleError(f"somebody has changed it since the plan was made: {', '.join(changed)}")
    return now
