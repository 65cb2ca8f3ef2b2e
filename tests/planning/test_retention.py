"""What is kept of what has ended: against a count of each with each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.execution import Execution
from migmond.domain.plan import Operation, Undoing
from migmond.domain.states import EXECUTION_TRANSITIONS, LIVE_EXECUTION_STATES, ExecutionState
from migmond.planning.retention import LEAST_ROWS, MOST_ROWS, PIECE_S, beyond, deletes, next_rows, refusal
from past_runs import ended

KEPT = LIVE_EXECUTION_STATES | {ExecutionState.DRAINED}
"""These go on, by themselves or when somebody says so."""


def one(key: int, **changes: Any) -> Execution:
    return msgspec.structs.replace(ended(key), **changes)


times = st.integers(0, 20).map(float)


@given(
    st.lists(st.tuples(st.sampled_from(ExecutionState), st.none() | times, st.none() | times, times), max_size=12),
    st.integers(0, 6),
    st.integers(0, 12),
    times,
)
def test_what_either_limit_keeps_is_kept(
    made: list[tuple[ExecutionState, float | None, float | None, float]], keep: int, keep_s: int, now: float
) -> None:
    executions = [
        one(key, state=state, finished_at=finished, started_at=started, created_at=created)
        for key, (state, finished, started, created) in enumerate(made)
    ]

    def end(e: Execution) -> float:
        if e.finished_at is not None:
            return e.finished_at
        return e.started_at if e.started_at is not None else e.created_at

    old = [e for e in executions if e.state not in KEPT]
    expected = {
        e.id for e in old if sum((end(o), o.key) > (end(e), e.key) for o in old) >= keep and end(e) + keep_s < now
    }
    found = beyond(executions, keep, float(keep_s), now)
    assert {e.id for e in found} == expected
    assert [(end(e), e.key) for e in found] == sorted((end(e), e.key) for e in found)


@pytest.mark.parametrize("state", list(ExecutionState))
def test_only_what_has_ended_may_be_forgotten(state: ExecutionState) -> None:
    why, hint = refusal(one(1, state=state), [one(1, state=state), one(2)])
    assert bool(why) is (state in KEPT)
    assert ("migmon cancel" in hint) is bool(why)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("state", list(ExecutionState))
def test_what_is_rolled_back_is_kept_until_nothing_can_set_that_going_again(
    state: ExecutionState, *, again: bool
) -> None:
    first = one(1)
    undoing = Undoing(first.id, first.key, Operation.COPY, 1.0, 0.0, again=again)
    rollback = one(2, state=state, plan=msgspec.structs.replace(first.plan, undoes=undoing))
    why, _ = refusal(first, [first, rollback])
    over = state not in KEPT and not EXECUTION_TRANSITIONS[state]
    assert bool(why) is not over
    assert (("recovery" if again else "rollback") in why) is bool(why)
    assert refusal(one(3), [first, rollback]) == ("", "")
    assert deletes(rollback)


def test_moves_delete() -> None:
    copy = one(1)
    assert not deletes(copy)
    assert deletes(one(1, plan=msgspec.structs.replace(copy.plan, operation=Operation.MOVE)))


@given(st.lists(st.floats(0, 1), max_size=40))
def test_pieces_stay_within_bounds_and_shrink_when_they_take_long(took: list[float]) -> None:
    rows = LEAST_ROWS
    for took_s in took:
        before, rows = rows, next_rows(rows, took_s)
        assert LEAST_ROWS <= rows <= MOST_ROWS
        assert rows <= before or took_s < PIECE_S / 2
        assert rows >= before or took_s > PIECE_S
