"""Making a plan by reading, and carrying it out: each change as soon as what it needs is there."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Self

import attrs

from ..batch import Walk
from ..checks import check_range
from ..errors import LosantError, NotFoundError, OutcomeUnknownError, PlanError
from ..groups import ExperienceGroups
from ..keys import ById, ByName, ByTag, MatchBy, without_id
from ..models import ExperienceGroup, FrozenDict, NewExperienceGroup
from ..run import BrokenOff, Run, Turn
from .diff import check_prune, comparable, compare, differing
from .model import Change, ChangeOutcome, Plan, Record
from .schedule import Schedule, Step
from .scout import Scout
from .shapes import to_record


async def plan(
    groups: ExperienceGroups,
    records: Iterable[Record | Mapping[str, Any]],
    *,
    match_by: MatchBy,
    prune: bool = False,
) -> Plan:
    """What would have to change for the groups to be what the records say. Reads only.

    Args:
        groups: The groups of one application.
        records: What should be, in any order: from `read_records`, or mappings in the shape in which the API lists a
            group. `id` is any text, for others to name as their `parentId`; a `parentId` that is no record's id is a
            live group's; without one a group is a root. Any other field that is absent is left alone.
        match_by: Which live group a record is: `by_name()`, `by_tag(key)` or `by_id()`.
        prune: Whether to delete what no record wants; under `by_tag` only groups that carry the tag.

    Raises:
        PlanError: No plan can be made: mappings that are no records, cycles, unknown parents, two records or two live
            groups where there must be one, or no records at all with `prune`. It is a ValueError as well.
        LosantError: Reading failed.
        TypeError: An argument is of a wrong type.
    """
    if not isinstance(match_by, ByName | ByTag | ById):
        raise TypeError(f"match_by must be by_name(), by_tag(key) or by_id(), not {type(match_by).__name__}")
    _check_groups(groups)
    if isinstance(records, str | bytes | Mapping) or not isinstance(records, Iterable):
        raise TypeError(f"records must be an iterable of records, not {type(records).__name__}")
    wanted, problems = [], []
    for n, record in enumerate(records):
        try:
            wanted.append(_checked_record(record, n))
        except ValueError as problem:
            problems.append(str(problem))
    if problems:
        raise PlanError.of(problems)
    check_prune(wanted, prune=prune)
    return compare(wanted, await groups.scan().to_list(), match_by=match_by, prune=prune)


def _checked_record(record: object, n: int) -> Record:
    if isinstance(record, Record):
        try:
            group = NewExperienceGroup(**record.fields)
        except (TypeError, ValueError) as problem:
            raise type(problem)(f"records[{n}]: {problem}") from None
        return attrs.evolve(record, fields={name: getattr(group, name) for name in record.fields})
    if not isinstance(record, Mapping):
        raise TypeError(f"records[{n}] must be a Record or a mapping, not {type(record).__name__}")
    return to_record(record, f"records[{n}]")


def _check_groups(groups: object) -> None:
    if not isinstance(groups, ExperienceGroups):
        raise TypeError(
            f"groups must be the experience_groups of a client or an application, not {type(groups).__name__}"
        )


def apply(groups: ExperienceGroups, plan: Plan, *, concurrency: int = 16) -> Applying:
    """Carry out a plan; yields a `ChangeOutcome` for each change as it completes.

    A group is created or moved as soon as its own parent is in place. Creates happen exactly once, by what the plan
    goes by. Before an update or a delete the group is read again, and left alone if somebody has changed it. Deletes
    come last, and only if all else went well. What is interrupted is resumed by a new plan.

    Args:
        groups: The groups that the plan was made for.
        plan: What to do.
        concurrency: How many changes to have under way at a time, 1 or more.

    Raises:
        TypeError: `plan` is no Plan.
        ValueError: `concurrency` is below 1.
    """
    _check_groups(groups)
    if not isinstance(plan, Plan):
        raise TypeError(f"plan must be a Plan, not {type(plan).__name__}")
    check_range("concurrency", concurrency, 1)
    return Applying(_Engine(groups, plan).run(concurrency))


class Applying(Walk[ChangeOutcome]):
    """Outcomes of a plan as they complete: an async iterator, walked once.

    Nothing is sent before the first outcome is asked for. What would fail every change, such as a wrong token, ends it:
    what is on the wire ends and is yielded, and then the error is raised. After `break` nothing new is sent; `aclose()`
    and a cancellation also wait for what is on the wire, and the same iterator then yields what became of that.
    """


class _StaleError(LosantError):
    advice = "It was left as it is; plan again."


class _SkippedError(LosantError):
    advice = "Plan again when that is fixed."


def _other_than_wanted(change: Change, fields: Mapping[str, Any], group: ExperienceGroup) -> list[str]:
    """The fields that a group does not have as a change wants them."""
    if change.merges_tags and "group_tags" in fields:
        fields = {**fields, "group_tags": FrozenDict({**group.group_tags, **fields["group_tags"]})}
    return [name for name, value in fields.items() if comparable(name, getattr(group, name)) != comparable(name, value)]


def _broken_off(_index: int, step: Step, error: BaseException, status: BrokenOff) -> ChangeOutcome:
    return ChangeOutcome(step.change, status, None, error)


class _Engine:
    """Does the changes of a plan: an async iterator of steps, which is the input of a batch, and the batch's work."""

    def __init__(self, groups: ExperienceGroups, plan: Plan) -> None:
        self._identity = without_id(plan.match_by)
        self._api = groups._api  # noqa: SLF001 - the engine makes the same calls, with the time of its own items
        self._transport = self._api.transport
        self._once = self._api.exactly_once(self._identity, gather=True)
        self._changes = plan.changes
        self._schedule = Schedule(plan.changes)
        self._wake = asyncio.Event()
        self._known = {place for place, change in enumerate(plan.changes) if self._is_known(change)}
        places = [place for place in self._schedule.by_urgency() if place in self._known]
        self._scout = Scout(self._look, places, self._transport.start_task)
        self._made: dict[int, tuple[ExperienceGroup, bool]] = {}  # by place, and whether this very run made it

    def run(self, concurrency: int) -> Run[ChangeOutcome]:
        """The run that does the changes."""
        return Run(
            self,
            lambda _index, step: functools.partial(self._do, step),
            _broken_off,
            concurrency=concurrency,
            transport=self._transport,
            ahead=2,  # no more, so that what is urgent finds no queue before it
            at_end=self._end,
        )

    def _end(self) -> None:
        self._once.close()
        self._scout.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Step:
        if not self._schedule.left:
            raise StopAsyncIteration
        while (step := self._schedule.next()) is None:
            self._wake.clear()
            await self._wake.wait()
        return step

    def _is_known(self, change: Change) -> bool:
        """Whether a create can be told to be there or not before its parent is."""
        # A tag is what it is wherever the group will be; a name counts under a parent that has an id.
        return change.action == "create" and (isinstance(self._identity, ByTag) or change.parent is None)

    async def _look(self, place: int) -> ExperienceGroup | None:
        return await self._once.look(NewExperienceGroup(**self._changes[place].fields))

    async def _do(self, step: Step, turn: Turn) -> ChangeOutcome:
        ok = False
        try:
            outcome = await self._outcome(step, turn)
            ok = outcome.ok
            return outcome
        finally:
            self._schedule.ended(step.place, ok=ok)
            self._wake.set()

    async def _outcome(self, step: Step, turn: Turn) -> ChangeOutcome:
        change = step.change
        if step.obstacle is not None:
            self._scout.drop(step.place)
            return ChangeOutcome(change, "skipped", None, _SkippedError(step.obstacle))
        acts = {"create": self._create, "update": self._update, "delete": self._delete}
        try:
            group, is_new = await acts[change.action](step, turn)
        except _StaleError as error:
            if turn.call.doubtful and change.action != "create":
                raise OutcomeUnknownError(f"an earlier attempt may have been carried out; {error.message}") from error
            return ChangeOutcome(change, "stale", None, error)
        except ValueError as error:
            return ChangeOutcome(change, "failed", None, error)
        return ChangeOutcome(change, "done" if is_new else "existing", group, None)

    async def _create(self, step: Step, turn: Turn) -> tuple[ExperienceGroup | None, bool]:
        fields = dict(step.change.fields)
        fresh = False
        if step.change.parent is not None:
            # Below a group that this very run has made nobody else has put another.
            parent, fresh = self._made[step.change.parent]
            fields["parent_id"] = parent.id
        there = await self._scout.find(step.place) if step.place in self._known else None
        is_new = False
        if there is None:
            fresh = fresh and step.place not in self._known
            there, is_new = await self._once.create(NewExperienceGroup(**fields), turn, fresh=fresh)
        found = not is_new or turn.call.doubtful  # rather than answered
        if found and (others := _other_than_wanted(step.change, {"parent_id": None} | fields, there)):
            raise _StaleError(f"somebody has created it since the plan was made, with another {', '.join(others)}")
        self._made[step.place] = there, is_new
        return there, is_new

    async def _update(self, step: Step, turn: Turn) -> tuple[ExperienceGroup | None, bool]:
        change = step.change
        fields = dict(change.fields)
        if change.parent is not None:
            fields["parent_id"] = self._made[change.parent][0].id
        now = await self._read_in_turn(change, fields, turn)
        if now is None:
            raise _StaleError("somebody has deleted the group since the plan was made")
        if not _other_than_wanted(change, fields, now):
            return now, False
        try:
            return await self._api.update(now.id, fields, turn.call), True
        except NotFoundError:
            raise _StaleError("somebody has deleted the group meanwhile", attempts=turn.call.attempts) from None

    async def _delete(self, step: Step, turn: Turn) -> tuple[ExperienceGroup | None, bool]:
        now = await self._read_in_turn(step.change, {}, turn)
        if now is None:
            return None, False
        try:
            await self._api.delete(now.id, turn.call)
        except NotFoundError:
            return None, False
        return None, True

    async def _read_in_turn(self, change: Change, fields: Mapping[str, Any], turn: Turn) -> ExperienceGroup | None:
        """What `_unchanged` says, just before the change is sent and before each time that it is sent again."""
        await turn.take()
        turn.call.urgent = True
        turn.call.check = functools.partial(self._unchanged, change, fields)
        return await self._unchanged(change, fields)

    async def _unchanged(self, change: Change, fields: Mapping[str, Any]) -> ExperienceGroup | None:
        """The group as it is, None if it is gone; a stale error if it is neither as it was nor as it shall be."""
        before = change.current
        if before is None or change.group_id is None:
            raise TypeError(f"{change.action} of a plan without the group that it is about")
        try:
            now = await self._api.get(change.group_id, self._api.patient_call())
        except NotFoundError:
            return None
        others = _other_than_wanted(change, fields, now)
        if changed := [name for name in differing(before, now) if name not in fields or name in others]:
            raise _StaleError(f"somebody has changed it since the plan was made: {', '.join(changed)}")
        return now
