"""Random queries against the emulator and against the published schema: the same are taken."""

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aiolosant.emulator import Emulator

from .api import Api

# Losant's own, of API version 1.30.
SCHEMA = json.loads((Path(__file__).parent.parent / "samples" / "group_query_schema.json").read_text(encoding="utf-8"))
ID = "5" * 24
REQUESTS = 1_000


class Maker:
    """Makes queries that are sound, nearly so, or nonsense; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret

    def query(self, depth: int = 0) -> Any:
        pick = self.random.choice
        if depth < 3 and self.random.random() < 0.3:
            parts = [self.query(depth + 1) for _ in range(self.random.randint(0, 3))]
            return {pick(["$and", "$or", "$nor", "$not"]): parts}
        names = ["id", "parentId", "ancestorId", "experienceUserId", "name", "creationDate", "groupTags", "colour"]
        return {pick(names): self.value() for _ in range(self.random.randint(0, 2))}

    def value(self) -> Any:
        pick = self.random.choice
        operators = ["$eq", "$ne", "$gt", "$lte", "$in", "$nin", "$startsWith", "$contains", "$ci", "$tagKey", "$x"]
        if self.random.random() < 0.6:
            return {pick([*operators, "region"]): self.operand() for _ in range(self.random.randint(0, 2))}
        return self.operand()

    def operand(self) -> Any:
        simple = [ID, "a", "", None, True, False, 5, 1.5, "2026-01-01T00:00:00Z", "x" * 256]
        lists = [[], [ID], ["a", "b"], [None], [5], [ID] * 101, [{}]]
        nested = [{"$in": ["a"]}, {"$nin": []}, {"region": "eu"}, {"$tagKey": "a", "$tagValue": {"$in": ["b"]}}, {}]
        return self.random.choice([*simple, *simple, *lists, *nested])


@pytest.mark.timeout(100)
async def test_what_the_published_schema_takes_is_taken(emulator: Emulator, api: Api) -> None:
    """1,000 random queries: a 200 where the schema is fulfilled, and a 400 where it is not."""
    emulator.create_groups([{"name": "a", "groupTags": {"region": "eu"}}])
    itself = {"definitions": {"advancedExperienceGroupQuery": SCHEMA}}  # which it refers to
    validator = jsonschema.Draft7Validator(SCHEMA | itself)
    maker = Maker(1)
    differing, taken = [], 0
    for _ in range(REQUESTS):
        query = maker.query()
        status, answer = await api("GET", query=json.dumps(query))
        assert status in (200, 400)
        taken += status == 200
        if (status == 200) != validator.is_valid(query):
            differing.append((query, answer))
    assert differing[:5] == []
    assert 150 < taken < REQUESTS - 150  # it tried both
