"""The state tables: every walk that `advance` allows stays inside them, and nothing else is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.alert import AlertState
from migmond.domain.errors import IllegalTransition
from migmond.domain.states import (
    ALERT_TRANSITIONS,
    EXECUTION_TRANSITIONS,
    LIVE_EXECUTION_STATES,
    TASK_TRANSITIONS,
    TERMINAL_EXECUTION_STATES,
    ExecutionState,
    TaskState,
    advance,
    mermaid,
)

TABLES = [
    (EXECUTION_TRANSITIONS, ExecutionState),
    (TASK_TRANSITIONS, TaskState),
    (ALERT_TRANSITIONS, AlertState),
]


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_every_state_has_a_row_and_every_target_is_a_state(table: Any, states: Any) -> None:
    assert set(table) == set(states)
    assert all(target in states for targets in table.values() for target in targets)


@pytest.mark.parametrize(("table", "states"), TABLES)
@given(data=st.data())
def test_random_walks_never_leave_the_table(table: Any, states: Any, data: st.DataObject) -> None:
    wishes = data.draw(st.lists(st.sampled_from(list(states)), max_size=30))
    state = next(iter(states))
    for wish in wishes:
        before = state
        try:
            state = advance(table, state, wish)
        except IllegalTransition:
            assert wish not in table[before]
            assert state is before
        else:
            assert wish in table[before]
            assert state is wish


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_every_state_can_be_reached_from_the_first(table: Any, states: Any) -> None:
    seen, todo = set(), [next(iter(states))]
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo.extend(table[state])
    assert seen == set(states)


def test_a_done_task_stays_done_but_for_directories_that_are_put_into_again() -> None:
    for after in set(TaskState) - {TaskState.PENDING}:
        with pytest.raises(IllegalTransition, match="done cannot become"):
            advance(TASK_TRANSITIONS, TaskState.DONE, after)


def test_no_state_is_both_live_and_terminal() -> None:
    assert LIVE_EXECUTION_STATES.isdisjoint(TERMINAL_EXECUTION_STATES)
    assert set(ExecutionState) == LIVE_EXECUTION_STATES | TERMINAL_EXECUTION_STATES


def test_a_live_execution_can_always_be_cancelled_or_has_been() -> None:
    for state in LIVE_EXECUTION_STATES - {ExecutionState.CANCELLING}:
        assert {ExecutionState.CANCELLING, ExecutionState.CANCELLED} & EXECUTION_TRANSITIONS[state]


def test_the_diagram_shows_every_change() -> None:
    lines = mermaid(TASK_TRANSITIONS).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) - 1 == sum(len(targets) for targets in TASK_TRANSITIONS.values())
    assert "  durable --> done" in lines
