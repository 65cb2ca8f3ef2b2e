"""Whose turn it is, compared with what everybody would say who stands in such a line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migmond.planning.turns import TurnLimits, Work, next_turns, obstacle

ANA, BEN = 1, 2


def works(*them: tuple[str, int, int]) -> list[Work]:
    return [Work(*one) for one in them]


def ids(chosen: list[Work]) -> str:
    return "".join(w.id for w in chosen)


def test_first_come_first_served_up_to_each_limit() -> None:
    line = works(("a", ANA, 1), ("b", ANA, 1), ("c", ANA, 1), ("d", BEN, 1), ("e", BEN, 1))
    assert ids(next_turns([], line, TurnLimits())) == "abcde"
    assert ids(next_turns([], line, TurnLimits(running=2))) == "ab"
    assert ids(next_turns([], line, TurnLimits(running_per_user=1))) == "ad"
    assert ids(next_turns([], line, TurnLimits(movers=4))) == "abcd"
    assert ids(next_turns([], line, TurnLimits(movers_per_user=2))) == "abde"
    assert ids(next_turns(works(("x", ANA, 1)), line, TurnLimits(running=2))) == "a"


def test_something_large_is_not_overtaken_for_ever() -> None:
    line = works(("l", BEN, 4), ("s", ANA, 1))
    assert ids(next_turns(works(("x", ANA, 1)), line, TurnLimits(movers=4))) == ""
    assert ids(next_turns([], line, TurnLimits(movers=5))) == "ls"


def test_who_waits_for_their_own_is_overtaken_but_not_by_themselves() -> None:
    line = works(("l", ANA, 4), ("s", ANA, 1), ("b", BEN, 1))
    assert ids(next_turns(works(("x", ANA, 1)), line, TurnLimits(movers_per_user=4))) == "b"


def test_it_is_said_what_is_in_the_way() -> None:
    mine, running = Work("m", ANA, 2), works(("x", ANA, 3))
    for limits, words in (
        (TurnLimits(running_per_user=1), "1 of this user's run, the limit is 1"),
        (TurnLimits(movers_per_user=4), "it takes 2 movers, this user's have 3 of 4"),
        (TurnLimits(running=1), "as many run as may, 1"),
        (TurnLimits(movers=4), "it takes 2 movers, not so many of 4 are free"),
    ):
        found = obstacle(mine, running, limits)
        assert found is not None
        assert found.text == words
    assert obstacle(mine, running, TurnLimits()) is None


work = st.builds(Work, st.uuids().map(str), st.integers(1, 3), st.integers(1, 4))
small = st.integers(4, 8)


@given(st.lists(work, max_size=20), st.builds(TurnLimits, small, st.integers(1, 4), small, small))
def test_no_limit_is_ever_passed_and_nobody_waits_without_a_reason(line: list[Work], limits: TurnLimits) -> None:
    running: list[Work] = []
    for _ in range(len(line) + 1):
        chosen = next_turns(running, line, limits)
        running += chosen
        line = [w for w in line if w not in chosen]
        assert len(running) <= limits.running
        assert sum(w.movers for w in running) <= limits.movers
        for uid in (1, 2, 3):
            own = [w for w in running if w.uid == uid]
            assert len(own) <= limits.running_per_user
            assert sum(w.movers for w in own) <= limits.movers_per_user
        assert next_turns(running, line, limits) == []
        if line:
            assert running, "everything waits for nothing"
            assert obstacle(line[0], running, limits) is not None
        running = running[1:]
    assert line == []
