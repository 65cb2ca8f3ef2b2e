"""Executions to draw, for tests that need no daemon."""

from __future__ import annotations

from typing import Any

import msgspec

from migmond.domain import api

NONE = api.TallyView(0, 0)
AT = "2026-11-24T12:09:00+00:00"


def progress(**changes: Any) -> api.Progress:
    """Return a progress in the middle of its way."""
    middle = api.Progress(
        planned=api.TallyView(1000, 10 << 30),
        done=api.TallyView(820, 8 << 30),
        failed=NONE,
        skipped=NONE,
        cancelled=NONE,
        in_flight=NONE,
        growing=False,
        imperfect=0,
        percent_done=82.7,
        bytes_per_s=170.0 * (1 << 20),
        entries_per_s=12.0,
        seconds_elapsed=61.0,
        seconds_remaining=2160.0,
        eta_reason="",
    )
    return msgspec.structs.replace(middle, **changes)


def execution(**changes: Any) -> api.ExecutionView:
    """Return a running execution called media."""
    running = api.ExecutionView(
        id="8f3a1c000000",
        name="media",
        state="running",
        why="",
        stage="copy",
        operation="copy",
        sources=("/mnt/a",),
        destination="/mnt/b",
        uid=0,
        created_at=AT,
        started_at=AT,
        finished_at=None,
        progress=progress(),
        holds=(),
        movers=(),
        verify="hash",
        conflict="fail",
        verification=None,
        as_of=AT,
    )
    return msgspec.structs.replace(running, **changes)


def ended(state: str = "completed", **changes: Any) -> api.ExecutionView:
    """Return an execution that has ended."""
    whole = progress(done=api.TallyView(1000, 10 << 30), percent_done=100.0, seconds_remaining=None)
    return execution(**{"state": state, "stage": "done", "finished_at": AT, "progress": whole} | changes)
