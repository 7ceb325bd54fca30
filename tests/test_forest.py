"""Forests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiolosant._forest import Forest

PARENTS = {"a": None, "b": "a", "c": "b", "d": "a", "e": "gone"}


def test_parents_come_first() -> None:
    """Level by level, roots first; a parent that is no node makes a root."""
    assert list(Forest(PARENTS).parents_first()) == ["a", "e", "b", "d", "c"]
    assert Forest(PARENTS).children("a") == ["b", "d"]


def test_a_path_runs_from_the_root_down() -> None:
    """The keys above a node, and the node."""
    assert Forest(PARENTS).path("c") == ["a", "b", "c"]
    assert Forest(PARENTS).path("e") == ["e"]


def test_a_forest_has_no_cycles() -> None:
    """What is a forest has none, however deep it is."""
    chain: dict[int, int | None] = {n: n - 1 if n else None for n in range(50_000)}
    assert Forest(chain).cycles() == []
    assert len(Forest(chain).path(49_999)) == 50_000


@pytest.mark.parametrize(
    ("parents", "cycles"),
    [
        ({"a": "a"}, [["a"]]),
        ({"a": "b", "b": "c", "c": "a", "d": "a"}, [["c", "b", "a"]]),
        ({"d": "a", "a": "b", "b": "a", "e": "e", "r": None}, [["b", "a"], ["e"]]),
    ],
)
def test_each_cycle_is_found_once(parents: dict[str, str | None], cycles: list[list[str]]) -> None:
    """Every one a child of the one before; what hangs below a cycle is no part of it."""
    assert Forest(parents).cycles() == cycles


@given(st.dictionaries(st.integers(0, 12), st.none() | st.integers(0, 14), max_size=12))
def test_every_node_is_reached_or_hangs_on_a_cycle(parents: dict[int, int | None]) -> None:
    """`parents_first` gives each node once and behind its parent; the others lead up to a cycle."""
    forest = Forest(parents)
    order = list(forest.parents_first())
    assert len(order) == len(set(order))
    for n, key in enumerate(order):
        parent = parents[key]
        assert parent is None or parent not in parents or parent in order[:n]
    circling = {key for cycle in forest.cycles() for key in cycle}
    for key in set(parents) - set(order):
        step: int | None = key
        for _ in parents:
            if step in circling:
                break
            step = parents[step]  # type: ignore[index]  # it has a parent, or it would have been reached
        assert step in circling
