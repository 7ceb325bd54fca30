"""The public API as a type checker sees it: checked by mypy, never run. Each ignore must be needed."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Any, assert_type

from aiolosant import (
    BatchReport,
    DeviceTag,
    ExperienceGroup,
    GroupChanges,
    Identity,
    LosantClient,
    MatchBy,
    NewExperienceGroup,
    Outcome,
    Page,
    Paginator,
    Q,
    Query,
    RetryPolicy,
    TokenProvider,
    by_id,
    by_name,
    by_tag,
    reconcile,
)


async def reads(losant: LosantClient) -> None:
    groups = losant.experience_groups
    assert_type(groups.list(), Paginator[ExperienceGroup])
    async for group in groups.list(filter="my*group", sort_field="creationDate"):
        assert_type(group, ExperienceGroup)
        assert_type(group.parent_id, str | None)
        assert_type(group.creation_date, datetime | None)
        assert_type(group.group_tags, Mapping[str, str])
        assert_type(group.device_tags, tuple[DeviceTag, ...])
    async for page in groups.list().by_page():
        assert_type(page, Page[ExperienceGroup])
    assert_type(await groups.list().first(), ExperienceGroup | None)
    assert_type(await groups.list().count(), int)
    assert_type(await groups.list().to_list(limit=5), list[ExperienceGroup])
    assert_type(await groups.get("id", include_total_device_count=True), ExperienceGroup)

    question = (Q.name.startswith("Acme", ci=True) & Q.group_tags["region"].in_("eu")) | ~(Q.parent_id == "id")
    assert_type(question, Query)
    assert_type(groups.scan(query=question, after="id"), Paginator[ExperienceGroup])
    assert_type(losant.paginate("/applications", prefetch=2), Paginator[dict[str, Any]])
    await losant.request("GET", "/applications", params={"page": 1, "flag": True})
    groups.scan(sort_field="name")  # type: ignore[call-arg]
    print(Q.nmae)  # type: ignore[attr-defined]  # noqa: T201 - never run
    Q.name.startswith(5)  # type: ignore[arg-type]

    groups.list(sort_field="colour")  # type: ignore[arg-type]
    groups.list(filtre="my*group")  # type: ignore[call-arg]
    groups.list("my*group")  # type: ignore[call-arg, arg-type]


async def writes(losant: LosantClient) -> None:
    groups = losant.experience_groups
    new = NewExperienceGroup("name", device_ids=["id"], group_tags={"key": "value"})
    assert_type(await groups.create(new), ExperienceGroup)
    assert_type(await groups.create(new, unique_by=by_tag("id")), ExperienceGroup)
    assert_type(await groups.update("id", name="new", parent_id=None), ExperienceGroup)
    assert_type(await groups.delete("id"), None)

    await groups.update("id", nmae="new")  # type: ignore[call-arg]
    await groups.update("id", name=None)  # type: ignore[arg-type]
    await groups.create("a")  # type: ignore[arg-type]
    new.name = "other"  # type: ignore[misc]


async def batches(
    losant: LosantClient, some: Iterator[NewExperienceGroup], more: AsyncIterator[dict[str, Any]]
) -> None:
    groups = losant.experience_groups
    async for outcome in groups.create_many(some, concurrency=8, ordered=True):
        assert_type(outcome, Outcome)
        if outcome.status == "craeted":  # type: ignore[comparison-overlap]
            pass
    assert_type(await groups.create_many(more, unique_by=by_tag("id")).report(), BatchReport)
    groups.create_many(some, unique_by="name")  # type: ignore[arg-type]
    groups.create_many(["a"])  # type: ignore[list-item]


async def types_that_callers_write(
    losant: LosantClient, changes: GroupChanges, identity: Identity, match_by: MatchBy, token: TokenProvider
) -> None:
    groups = losant.experience_groups
    await groups.update("id", **changes)
    groups.create_many([], unique_by=identity)
    groups.create_many([], unique_by=match_by)  # type: ignore[arg-type]
    await reconcile.plan(groups, [], match_by=match_by)
    LosantClient(token)


async def provider() -> str:
    return "token"


def clients() -> None:
    LosantClient("token", retry=RetryPolicy(max_attempts=3), max_in_flight=8)
    LosantClient(provider)
    LosantClient("token", retries=3)  # type: ignore[call-arg]
    LosantClient(lambda: "token")  # type: ignore[arg-type, return-value]


async def reconciles(losant: LosantClient) -> None:
    groups = losant.experience_groups
    records = reconcile.read_records("groups.csv")
    assert_type(records, list[reconcile.Record])
    plan = await reconcile.plan(groups, records, match_by=by_id(), prune=True)
    assert_type(plan, reconcile.Plan)
    assert_type(plan.summary(), str)
    await reconcile.plan(groups, [{"name": "mapping"}], match_by=by_name())
    async for outcome in reconcile.apply(groups, plan, concurrency=32):
        assert_type(outcome, reconcile.ChangeOutcome)
        assert_type(outcome.change, reconcile.Change)
        assert_type(outcome.group, ExperienceGroup | None)
        if outcome.status == "stale":
            print(outcome.error)  # noqa: T201 - never run
        if outcome.status == "created":  # type: ignore[comparison-overlap]
            pass
    with reconcile.RecordWriter("groups.jsonl") as writer:
        async for group in groups.scan():
            writer.write(group)
    await reconcile.plan(groups, records)  # type: ignore[call-arg]
    await reconcile.plan(groups, records, match_by="name")  # type: ignore[arg-type]
    reconcile.apply(groups, records)  # type: ignore[arg-type]
    await groups.create(NewExperienceGroup("name"), unique_by=by_id())  # type: ignore[arg-type]


def environment() -> None:
    assert_type(LosantClient.from_env(timeout=5, application_id=None), LosantClient)
    LosantClient.from_env(timeoutt=5)  # type: ignore[call-arg]  # there is no such argument
    LosantClient.from_env(timeout="5")  # type: ignore[arg-type]  # seconds
