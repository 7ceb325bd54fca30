"""The fastest pace that went well: what refusals and answers in a row tell of it."""

from aiolosant._http.proven_pace import ProvenPace


def taken(proven: ProvenPace, rate: float, count: int) -> None:
    for _ in range(count):
        assert not proven.is_exceeded(rate, refused=False)


def is_exceeded(proven: ProvenPace, rate: float) -> bool:
    """Whether it is, once a request at that pace was refused."""
    return proven.is_exceeded(rate, refused=True)


def test_eight_in_a_row_prove_the_pace_at_which_they_began() -> None:
    """A refusal in between begins a new row; a slower row takes nothing back."""
    proven = ProvenPace()
    taken(proven, 9.0, 7)
    assert not is_exceeded(proven, 9.5)
    assert proven.rate == 0
    taken(proven, 9.0, 1)
    taken(proven, 9.4, 7)
    assert proven.rate == 9.0
    taken(proven, 8.0, 8)
    assert proven.rate == 9.0


def test_two_refusals_with_one_answer_between_them_are_too_fast() -> None:
    """One is not, nor are two with two answers between them."""
    for between, too_fast in ((0, True), (1, True), (2, False), (5, False)):
        proven = ProvenPace()
        taken(proven, 9.0, 8)
        assert not is_exceeded(proven, 10.0)
        taken(proven, 10.0, between)
        assert is_exceeded(proven, 10.0) is too_fast


def test_nothing_is_too_fast_as_long_as_no_slower_pace_is_proven() -> None:
    """What the server took says more then."""
    proven = ProvenPace()
    assert not any(is_exceeded(proven, 10.0) for _ in range(9))


def test_a_refusal_at_the_proven_pace_takes_the_proof_back() -> None:
    """The limit may have moved, or others use a part of it."""
    proven = ProvenPace()
    taken(proven, 9.0, 8)
    assert not is_exceeded(proven, 9.0)
    assert proven.rate == 0
    assert not is_exceeded(proven, 9.5)
