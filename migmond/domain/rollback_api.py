"""Parameter and result types of rollbacks, as `migmond.domain.api` has them for everything else."""

from __future__ import annotations

from migmond.domain.api import Params, Result, SelectorSpec, TallyView


class RollbackParams(Params, frozen=True):
    """Undo what an ended execution did, or the part that the selector picks.

    `request_id`: with one, a repeated call starts nothing.
    """

    id: str
    selector: SelectorSpec = SelectorSpec()
    reason: str = ""
    request_id: str = ""


class RecoverParams(Params, frozen=True):
    """Copy again what an ended copy has copied and is not at its target as it was, or the part of it that the selector
    picks. `request_id`: with one, a repeated call starts nothing."""

    id: str
    selector: SelectorSpec = SelectorSpec()
    reason: str = ""
    request_id: str = ""


class RollbackPlanParams(Params, frozen=True):
    """Look what a rollback would do.

    `fate`: page through the entries of this one, `limit` of them after task number `after`; "" for all the sums, with
    a few examples of each.
    """

    id: str
    selector: SelectorSpec = SelectorSpec()
    fate: str = ""
    after: int = 0
    limit: int = 100


class FateView(Result, frozen=True):
    """So many entries have that fate, directories left out: `restore`, `remove` and `whole` are undone; `occupied` is
    restored only if the same is there already; all others stay as they are: `gone`, `changed`, `last_copy`,
    `unreadable`. `meaning`: one sentence for people."""

    fate: str
    meaning: str
    entries: TallyView


class RollbackExample(Result, frozen=True):
    """An entry by its path below its source; `message`: why, "" when its fate says it all."""

    number: int
    fate: str
    path: str
    message: str


class RollbackOutlook(Result, frozen=True):
    """What a rollback would do; nothing was changed to find out.

    `from_paths` and `to_paths`: where it takes things from, and where to (`restore`), source by source.
    `backups`: of what was replaced and kept as a backup, how many entries get their names back.
    `notes`: what else cannot be undone, one sentence each.
    `next`: pass it as `after` for more of the fate that was asked for; null when there are no more.
    """

    name: str
    operation: str
    from_paths: tuple[str, ...]
    to_paths: tuple[str, ...]
    fates: tuple[FateView, ...]
    examples: tuple[RollbackExample, ...]
    next: int | None
    backups: int = 0
    notes: tuple[str, ...] = ()
