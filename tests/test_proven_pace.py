"""The fastest pace that went well: what refusals and answers in a row tell of it."""

from aiolosant._http.proven_pace import ProvenPace


def taken(proven: ProvenPace, rate: float, count: int) -> None:
    for _ in range(count):
        proven.taken(rate)


def test_eight_in_a_row_prove_the_pace_at_which_they_began() -> None:
    """A refusal in between begins a new row; a slower row takes nothing back."""
    proven = ProvenPace()
    taken(proven, 9.0, 7)
    proven.refused(9.5)
    assert proven.rate == 0
    taken(proven, 9.0, 1)
    taken(proven, 9.4, 7)
    assert proven.rate == 9.0
    taken(proven, 8.0, 8)
    assert proven.rate == 9.0


def test_every_other_request_refused_is_too_fast_once_a_slower_pace_is_proven() -> None:
    """A single refusal is none, nor are two that are five answers apart."""
    proven = ProvenPace()
    taken(proven, 9.0, 8)
    assert not proven.refused(10.0)
    taken(proven, 10.0, 5)
    assert not proven.refused(10.0)
    proven.taken(10.0)
    assert proven.refused(10.0)
    unproven = ProvenPace()
    assert [unproven.refused(10.0) for _ in range(4)] == [False] * 4


def test_a_refusal_at_the_proven_pace_takes_the_proof_back() -> None:
    """The limit may have moved, or others use a part of it."""
    proven = ProvenPace()
    taken(proven, 9.0, 8)
    assert not proven.refused(9.0)
    assert proven.rate == 0
    assert not proven.refused(9.0)
