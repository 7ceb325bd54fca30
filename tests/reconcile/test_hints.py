"""What was probably meant, at the end of a problem."""

from typing import Any

import pytest

from aiolosant import PlanError, by_name, by_tag
from aiolosant.identity import MatchBy
from aiolosant.reconcile import compare
from aiolosant.reconcile.codec import to_record


@pytest.mark.parametrize(
    ("records", "by", "hint"),
    [
        (
            [{"name": "A"}, {"name": "B", "parentId": "A"}],
            by_name(),
            ", but a record's name: give the records ids (a copy of the names will do, if each is there once)",
        ),
        ([{"id": "17", "name": "A"}, {"name": "B", "parentId": "A"}], by_name(), "did you mean its id '17'?"),
        ([{"id": "ACME", "name": "Acme"}, {"name": "B", "parentId": "Acme"}], by_name(), "; did you mean 'ACME'?"),
        ([{"name": "B", "parentId": "B"}], by_name(), "no live group's"),
        ([{"name": "A", "groupTags": {"key": "1", "keys": "2"}}, {"name": "B"}], by_tag("key"), "no group tag 'key'"),
        ([{"name": "A", "groupTags": {"keys": "2"}}], by_tag("keyss"), "'keyss'; did you mean 'keys'?"),
    ],
)
def test_what_was_probably_meant_is_said(records: list[dict[str, Any]], by: MatchBy, hint: str) -> None:
    """Unless it is what is there already: the record itself, or a tag that others have."""
    with pytest.raises(PlanError) as caught:
        compare([to_record(one, f"line {n}") for n, one in enumerate(records, 1)], [], match_by=by)
    assert caught.value.problems[0].endswith(hint)
