"""`check`, `plan`, `apply`, `undo` and `delete`: what should be, the difference, doing it, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import typer

from aiolosant import reconcile
from aiolosant._tree import GroupTree
from aiolosant._validation import is_id
from aiolosant.client import LosantClient
from aiolosant.errors import PlanError, UnsafePlanError
from aiolosant.groups import ExperienceGroups
from aiolosant.identity import ByTag, MatchBy, by_id, by_name, by_tag
from aiolosant.models import ExperienceGroup
from aiolosant.reconcile import Plan, Record
from aiolosant.reconcile.change import shown_path
from aiolosant.reconcile.deleting import plan_deletes
from aiolosant.reconcile.report import check_name as check_report_name
from aiolosant.reconcile.runs import check_application
from aiolosant.reconcile.saved import is_plan
from aiolosant.reconcile.standing import standing_of

from .applying import carry_out
from .choices import Connection, HowToApply, HowToPlan
from .console import FAILED, confirm, limit_text, printable
from .parsing import parsed_query
from .plan_view import ask_about_deletes, report_plan, show_plan, tell_warnings
from .read_commands import read_all
from .reading import is_regular, read_files
from .where import tell_where


def identity_of(how: HowToPlan) -> MatchBy:
    """Return which live group a record is.

    Raises:
        ValueError: An option is none of what it may be.
    """
    identity = _parsed_match_by(how.match_by)
    if how.adopt_by is None:
        return identity
    if how.adopt_by != "name" or not isinstance(identity, ByTag):
        raise ValueError("--adopt-by must be name, and goes with --match-by tag:KEY")
    return by_tag(identity.tag, adopt=by_name())


def _parsed_match_by(text: str) -> MatchBy:
    """`name`, `id` or `tag:KEY`.

    Raises:
        ValueError: It is none of these.
    """
    if text == "name":
        return by_name()
    if text == "id":
        return by_id()
    if text.startswith("tag:"):
        return by_tag(text.removeprefix("tag:"))
    raise ValueError(f"--match-by must be name, id or tag:KEY, not {text!r}")


def run_check(files: Sequence[Path], how: HowToPlan) -> int:
    """Read files and say what is wrong with them, without talking to anybody; return the exit code."""
    identity, records = identity_of(how), read_files(files, how.read)
    known = {record.id for record in records if record.id is not None}
    outside = [record for record in records if record.parent_id not in known and is_id(record.parent_id or "")]
    # Parents that are no records must be live groups, which nobody can know here. What can be no id of one is wrong.
    live = [ExperienceGroup(id=one, name=one) for one in dict.fromkeys(str(record.parent_id) for record in outside)]
    plan = reconcile.compare(records, live, match_by=identity)
    typer.echo(f"{len(records):,} record{'' if len(records) == 1 else 's'}, nothing wrong")
    roots = sum(record.parent_id is None for record in records)  # as long as they are new
    depth = max((len(change.path) for change in plan.changes), default=0)
    typer.echo(f"{roots:,} at the root, {depth:,} level{'' if depth == 1 else 's'} deep")
    if outside:
        some = ", ".join(printable(str(record.parent_id)) for record in outside[:3])
        typer.echo(f"{len(outside):,} below groups that are not in the file, so that they must be live: {some}")
    tell_warnings(
        attrs.evolve(plan, warnings=tuple(one for one in plan.warnings if one.kind in ("name", "value", "look-alike")))
    )
    return 0


async def run_plan(
    connection: Connection,
    application: str | None,
    files: Sequence[Path],
    how: HowToPlan,
    *,
    out: Path | None,
    report: Path | None,
    everything: bool,
    as_json: bool,
) -> int:
    """Print what `apply` would do; 3 if that is anything."""
    if out is not None and is_regular(out) and not is_plan(out):
        raise ValueError(f"--out {out}: there is a file that is no plan; it would be lost")
    check_report_name(report)
    identity, records = identity_of(how), read_files(files, how.read)
    async with connection.client(application) as losant:
        where = await tell_where(losant)
        plan = await _plan(losant, records, identity, how)
    if out is not None:  # before it is shown, perhaps to a reader who leaves
        plan.save(out)
    report_plan(plan, where, report)
    code = show_plan(plan, as_json=as_json, everything=everything)
    if out is not None:
        typer.echo(f"aiolosant: {out} has the plan; digest {plan.digest}", err=True)
    try:
        _check(plan, how)
    except UnsafePlanError as error:  # a plan may show it; `apply` will refuse it
        typer.echo(f"warning: {printable(limit_text(error))}", err=True)
    return code


async def run_apply(
    connection: Connection,
    application: str | None,
    files: Sequence[Path],
    how: HowToPlan,
    apply: HowToApply,
    *,
    expect: str | None,
    yes: bool,
    dry_run: bool,
    everything: bool,
) -> int:
    """Make it so; 1 if not everything went well."""
    check_report_name(apply.report)
    kept = Plan.load(files[0]) if len(files) == 1 and is_regular(files[0]) and is_plan(files[0]) else None
    asked = attrs.evolve(how, max_deletes=HowToPlan().max_deletes, max_changes=None)
    if kept is not None and asked != HowToPlan():
        raise ValueError(
            "how a plan is made was said when it was kept: only --max-deletes and --max-changes go with it"
        )
    identity, records = (identity_of(how), []) if kept else (identity_of(how), read_files(files, how.read))
    async with connection.client(application) as losant:
        where = await tell_where(losant)
        check_application("the plan", None if kept is None else kept.application_id, where.application_id)
        plan = kept or await _plan(losant, records, identity, how)
        if expect is not None and (len(expect) < 8 or not plan.digest.startswith(expect.lower())):
            what = "needs 8 characters of it or more" if len(expect) < 8 else f"says {expect}: look at it again"
            raise PlanError.of([f"the digest of the plan is {plan.digest}, and --expect {what}"])
        if kept is not None and kept.changes:
            standing = standing_of(plan, await read_all(losant.experience_groups))
            typer.echo(f"aiolosant: of the kept plan {printable(standing)}", err=True)
        if dry_run:
            return show_plan(plan, as_json=apply.as_json, everything=everything)
        _check(plan, how)
        typer.echo(plan.summary(), err=apply.as_json)
        tell_warnings(plan)
        ask_about_deletes(plan, where, yes=yes)
        return await carry_out(losant.experience_groups, plan, where, apply)


async def run_undo(
    connection: Connection, application: str | None, folder: Path, apply: HowToApply, *, yes: bool, dry_run: bool
) -> int:
    """Take back what an apply with `--results` has done."""
    async with connection.client(application) as losant:
        where = await tell_where(losant)
        groups = losant.experience_groups
        plan = await reconcile.undo(groups, folder, read_all=read_all)
        code = show_plan(plan, as_json=apply.as_json)
        if dry_run or not plan.changes:
            return code if dry_run else FAILED if plan.warnings else 0
        question = f"Take back what {folder} tells, in {where.label}: {plan.summary()}?"
        confirm(question, yes=yes)
        code = await carry_out(groups, plan, where, apply)
        return code or (FAILED if plan.warnings else 0)  # what was left was not taken back


async def run_delete(
    connection: Connection,
    application: str | None,
    apply: HowToApply,
    *,
    name_filter: str,
    query: str | None,
    subtree: bool,
    max_deletes: str,
    yes: bool,
    dry_run: bool,
) -> int:
    """Delete the groups that a query or a filter finds, deepest first."""
    condition = parsed_query(query)
    if not name_filter and not condition:
        raise ValueError("say which groups: --filter 'Old*', or --query with an advanced query")
    if name_filter and condition:
        raise ValueError("--filter and --query cannot go together: a query overrides a filter")
    async with connection.client(application) as losant:
        where = await tell_where(losant)
        groups = losant.experience_groups
        found = [group.id.lower() async for group in groups.list(filter=name_filter, query=condition, per_page=1000)]
        tree = GroupTree(await read_all(groups))
        plan = plan_deletes(tree, found, subtree=subtree, application_id=where.application_id)
        if not plan.changes:
            typer.echo("aiolosant: no group is found; nothing was deleted", err=True)
        if dry_run or not plan.changes:
            return show_plan(plan, as_json=apply.as_json, everything=True)
        plan.check(max_deletes=max_deletes)
        typer.echo(plan.summary(), err=apply.as_json)
        ask_about_deletes(plan, where, yes=yes)
        return await carry_out(groups, plan, where, apply)


async def _plan(losant: LosantClient, records: Sequence[Record], identity: MatchBy, how: HowToPlan) -> Plan:
    groups = losant.experience_groups
    under = None if how.under is None else await resolve(groups, how.under)
    return await reconcile.plan(groups, records, match_by=identity, prune=how.prune, under=under, read_all=read_all)


def _check(plan: Plan, how: HowToPlan) -> None:
    plan.check(max_deletes=how.max_deletes, max_changes=how.max_changes)


async def resolve(groups: ExperienceGroups, text: str) -> str:
    """Return the id of a group that is named by its id, or by the names from the root down to it.

    Raises:
        ValueError: There is no such group, or there are several.
    """
    if is_id(text):
        return text.lower()
    tree, wanted = GroupTree(await read_all(groups)), _path_text([text])
    found = [group_id for group_id in tree.by_id if shown_path(tree.path(group_id)) == text.strip()]  # as it is printed
    found = found or [group_id for group_id in tree.by_id if _path_text(tree.path(group_id)) == wanted]
    if len(found) != 1:
        count = "no group" if not found else f"{len(found)} groups ({', '.join(found[:5])})"
        raise ValueError(
            f"there is {count} of the path {text!r}; write it as 'Customer / Site', a name with a slash in double "
            "quotes, or give the id"
        )
    return found[0]


def _path_text(names: Sequence[str]) -> str:
    return "/".join(part.strip() for name in names for part in name.split("/"))
