"""Which executions that have ended are kept, and why one may not be forgotten. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migmond.domain.execution import Execution
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState

_ENDED = frozenset(
    {
        ExecutionState.COMPLETED,
        ExecutionState.COMPLETED_WITH_ERRORS,
        ExecutionState.FAILED,
        ExecutionState.CANCELLED,
    }
)
"""A drained one has not ended: it stands where it was stopped, as a paused one does."""
_FINAL = frozenset({ExecutionState.COMPLETED, ExecutionState.CANCELLED})
"""Nothing sets these going again."""

MOST_ROWS = 1_000
"""Entries that are removed at once, at most."""
LEAST_ROWS = 50
PIECE_S = 0.01
"""How long removing a piece may take: half of what writers may be kept waiting (issue 5: 20 ms), as another disk, or
another moment, takes twice as long."""


def ended_at(execution: Execution) -> float:
    """Return wall clock seconds of its end; of one whose end is not on record, of the last thing that is."""
    known = (execution.finished_at, execution.started_at, execution.created_at)
    return next(at for at in known if at is not None)


def beyond(executions: Iterable[Execution], keep: int, keep_s: float, now: float) -> list[Execution]:
    """Return those that have ended, are not among the newest `keep` of these, and ended more than `keep_s` ago; the
    oldest first.

    Args:
        keep_s: seconds.
        now: wall clock seconds. What ended later than that ended by a clock that was wrong: it is kept.
    """
    ended = sorted((e for e in executions if e.state in _ENDED), key=lambda e: (ended_at(e), e.key))
    return [e for e in ended[: max(0, len(ended) - keep)] if now - ended_at(e) > keep_s]


def refusal(execution: Execution, others: Sequence[Execution]) -> tuple[str, str]:
    """Return why an execution may not be forgotten, as far as that can be told without its entries, and what to do:
    two sentences, "" and "" when it may.

    Args:
        others: all executions; it may be one of them.
    """
    short = execution.id[:6]
    if execution.state is ExecutionState.DRAINED:
        return f"{execution.name} was drained and can go on", f"end it first: migmon cancel {short}"
    if execution.state not in _ENDED:
        return f"{execution.name} is {execution.state}", f"end it first: migmon cancel {short}"
    for other in others:
        undoes = other.plan.undoes
        if undoes is not None and undoes.execution == execution.id and other.state not in _FINAL:
            what = "recovery" if undoes.again else "rollback"
            state = other.state.value.replace("_", " ")
            return (
                f"the {what} {other.id[:6]} of {execution.name}, which is {state}, may need it",
                f"end or forget that one first: migmon show {other.id[:6]}",
            )
    return "", ""


def deletes(execution: Execution) -> bool:
    """Whether it has deleted sources, so that deletes of it may be unfinished."""
    return execution.plan.operation is Operation.MOVE or execution.plan.undoes is not None


def next_rows(rows: int, took_s: float) -> int:
    """Return how many entries the next piece has.

    Args:
        rows: that the last one had.
        took_s: seconds that it took, waiting for other writers included: when there are many, pieces are smaller.
    """
    if took_s > PIECE_S:
        return max(LEAST_ROWS, rows // 2)
    return min(MOST_ROWS, rows * 2) if took_s < PIECE_S / 2 else rows
