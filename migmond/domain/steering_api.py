"""Parameter and result types for changing running executions; see `migmond.domain.steering` for what each one means.

Actions without a selector travel as they are journaled; the others have a `SelectorSpec` and path text.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from migmond.domain.api import Params, Result, SelectorSpec
from migmond.domain.steering import (
    BatchSize,
    Cancel,
    Drain,
    Level,
    Place,
    Reordering,
    Throttle,
    Weight,
    Workers,
)


class _Spec(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, forbid_unknown_fields=True):
    """Base."""


class PrioritiseSpec(_Spec, frozen=True, tag="priority"):
    selector: SelectorSpec
    level: Level


class MoveSpec(_Spec, frozen=True, tag="reorder"):
    """`before`: path text of the entry, below its source, with `place` `before` only."""

    selector: SelectorSpec
    place: Place
    before: str = ""


class SkipSpec(_Spec, frozen=True, tag="skip"):
    selector: SelectorSpec


class RouteSpec(_Spec, frozen=True, tag="route"):
    """`destination`: absolute path text."""

    selector: SelectorSpec
    destination: str


class PauseSpec(_Spec, frozen=True, tag="pause"):
    selector: SelectorSpec = SelectorSpec()


class ResumeSpec(_Spec, frozen=True, tag="resume"):
    selector: SelectorSpec = SelectorSpec()


class RetrySpec(_Spec, frozen=True, tag="retry"):
    selector: SelectorSpec = SelectorSpec()


ActionSpec: TypeAlias = (
    Throttle
    | Workers
    | BatchSize
    | Reordering
    | Weight
    | PrioritiseSpec
    | MoveSpec
    | SkipSpec
    | RouteSpec
    | PauseSpec
    | ResumeSpec
    | RetrySpec
    | Cancel
    | Drain
)


class InterveneParams(Params, frozen=True):
    """Change a running execution.

    `for_s`: it is taken back by itself after so many seconds; null until somebody does.
    `dry_run`: nothing is changed or recorded; the answer says what would be.
    `request_id`: a repeated call with the same one changes nothing and has the first one's answer.
    """

    id: str
    action: ActionSpec
    reason: str = ""
    for_s: float | None = None
    dry_run: bool = False
    request_id: str = ""


class Effect(Result, frozen=True):
    """What a change means, as far as it can be told.

    `entries`, `bytes`: pending ones that it concerns; null when that is the whole execution.
    `eta_before_s`, `eta_after_s`: seconds left as things are, and with it; null when it cannot be told, and
    `eta_reason` says why.
    `before`, `after`: what changes, a short phrase each.
    `notes`: what else whoever asks for it should know, such as what it cannot do.
    """

    entries: int | None
    bytes: int | None
    eta_before_s: float | None
    eta_after_s: float | None
    eta_reason: str
    before: str
    after: str
    notes: tuple[str, ...] = ()


class InterventionView(Result, frozen=True):
    """`what`: in words what was asked for, "" when an older version recorded it. `until`: when it is over by itself.

    `entries`, `bytes`: what it concerned when it was made; null when that is the whole execution.
    `automatic`: nobody asked for it, a component did it.
    `ended_at`, `ended_by`: when it was taken back or was over, and who did it (`expired`: time did).
    """

    id: str
    execution: str
    kind: str
    author: str
    at: str
    reason: str
    before: str
    after: str
    undo: str
    what: str = ""
    until: str | None = None
    entries: int | None = None
    bytes: int | None = None
    automatic: bool = False
    ended_at: str | None = None
    ended_by: str = ""


class InterventionList(Result, frozen=True):
    interventions: tuple[InterventionView, ...]


class InterventionResult(Result, frozen=True):
    """`intervention` is null when it was a dry run."""

    effect: Effect
    intervention: InterventionView | None


class UndoParams(Params, frozen=True):
    """Take a change back. `intervention`: its id; "" for the caller's latest that is in force."""

    intervention: str = ""
    reason: str = ""
    dry_run: bool = False


class StopAllParams(Params, frozen=True):
    """Stop everything that the caller may steer; an admin stops everything of everybody."""

    reason: str = ""


class StoppedView(Result, frozen=True):
    """One execution that was stopped. `state`: as it is now. `percent_done`: null while it is scanned.

    `in_hand`: path text, below their sources, of the files that movers have open; they keep their place.
    `busy`: what movers were still in a second later, such as a sync that the disk does not answer; they begin nothing.
    `intervention`: its id; `migmon undo` or `migmon resume` lets it go on. `undo`: "" when only a salvage of it was
    ended, which is asked for once more.
    """

    id: str
    name: str
    state: str
    why: str
    percent_done: float | None
    in_hand: tuple[str, ...]
    busy: tuple[str, ...]
    intervention: str
    undo: str = ""


class StopAllResult(Result, frozen=True):
    """`seconds`: from the call until all was at rest and durable."""

    stopped: tuple[StoppedView, ...]
    seconds: float
