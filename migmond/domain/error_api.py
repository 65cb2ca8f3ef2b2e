"""Parameter and result types of the methods about what went wrong, and about what can be saved of it."""

from __future__ import annotations

from migmond.domain.api import Params, Result


class FigureView(Result, frozen=True):
    """What a metric was around errors, by what is on record: `before` the first, at `worst` until the last (of a
    counter what was added), and `after`; null where nothing is on record. `subject`: disk or mount point. `text`: all
    of it in words."""

    metric: str
    subject: str
    unit: str
    before: float | None
    worst: float | None
    after: float | None
    text: str


class CauseView(Result, frozen=True):
    """What errors may come from. `score`: 0 to 1; `evidence`: what was noticed, the strongest first; `figures`: what
    has to do with it, before and after."""

    name: str
    title: str
    score: float
    evidence: tuple[str, ...]
    figures: tuple[FigureView, ...] = ()


class ErrorGroup(Result, frozen=True):
    """Faults of the same kind in the same phase, of the source's also on the same device.

    `count`: entries; `waiting` of them are to be tried again, all others have failed. `examples`: up to three paths.
    `fingerprint`: what a selector takes under `errors` for this group. `disposition`: what is done about such a fault:
    `retry`, `hold` or `fail`. `side`: what it is about, `source` or `target`, "" unknown; `device` and `mount` are its
    disks, or `loop3 (on sda)`, and mount point, "" unknown. `under`: the deepest directory that all of it lies in.
    `causes`: what it may come from, the likeliest first; `meaning` and `hint`: what that means and what to do, `next`:
    the command for it; "" when there is nothing to say.
    """

    phase: str
    kind: str
    errno: int
    message: str
    count: int
    first_at: str
    last_at: str
    examples: tuple[str, ...]
    hint: str
    waiting: int = 0
    fingerprint: str = ""
    disposition: str = ""
    side: str = ""
    device: str = ""
    mount: str = ""
    under: str = ""
    causes: tuple[CauseView, ...] = ()
    meaning: str = ""
    next: str = ""


class ErrorGroups(Result, frozen=True):
    groups: tuple[ErrorGroup, ...]


class SalvageParams(Params, frozen=True):
    """`path`: of the file, below its source. `limit_s`: reading ends after about so many seconds; called again, it goes
    on from there."""

    id: str
    path: str
    limit_s: float = 600.0


class MissingRange(Result, frozen=True):
    """Bytes `start` to `start + size` that were not saved. `tried` is false for what there was no time for, or for
    trying it in smaller pieces."""

    start: int
    size: int
    tried: bool


class SalvageView(Result, frozen=True):
    """What was saved of a damaged file: `saved_bytes` of `size_bytes`, in `saved_as`, with zeros for what is missing.

    `map`: a mapfile of GNU ddrescue beside it, which says what is missing; the first 1,000 such ranges are in
    `missing`. Neither file has the name of the original, which counts as failed as before.
    """

    path: str
    saved_as: str
    map: str
    size_bytes: int
    saved_bytes: int
    missing_bytes: int
    missing_ranges: int
    missing: tuple[MissingRange, ...]
