"""What clients ask about rollbacks, parsed and shown."""

from __future__ import annotations

import trio

from migmond.daemon.pages import check_after
from migmond.domain.api import SelectorSpec
from migmond.domain.errors import InvalidInput
from migmond.domain.names import to_text
from migmond.domain.rollback_api import (
    FateView,
    RollbackExample,
    RollbackOutlook,
    RollbackPlanParams,
)
from migmond.domain.selector import Selector
from migmond.engine.rollbacks import Outlook
from migmond.engine.views import tally_view
from migmond.planning.routes import pairs_of
from migmond.planning.selection import selector_of, takes_long
from migmond.planning.undo import Fate

MEANINGS = {
    Fate.RESTORE: "moved back to where it came from",
    Fate.REMOVE: "the copy is removed, what it was copied from stays",
    Fate.WHOLE: "a source that was renamed as a whole is renamed back, with all that is in it now",
    Fate.OCCUPIED: "something has its name where it came from: that stays, and so does this unless both are the same",
    Fate.CHANGED: "changed since it was brought there: stays",
    Fate.GONE: "not there any more: nothing to do",
    Fate.LAST_COPY: "what it was copied from is gone or was changed since: stays, it is the last copy",
    Fate.UNREADABLE: "cannot be looked at: stays",
}
"""In the order in which they are told."""


async def selector_from_outside(spec: SelectorSpec) -> Selector:
    """Parse a selector; what takes long to compile is compiled in a thread.

    Raises:
        InvalidInput: it makes no sense.
    """
    if takes_long(spec.include, spec.exclude):
        return await trio.to_thread.run_sync(selector_of, spec)
    return selector_of(spec)


def checked_fate(params: RollbackPlanParams) -> Fate | None:
    """Return the fate whose entries are asked for, None for all.

    Raises:
        InvalidInput: there is no such fate, or the page is out of range.
    """
    check_after(params.after, params.limit)
    if not params.fate:
        return None
    try:
        return Fate(params.fate)
    except ValueError as e:
        known = ", ".join(Fate)
        raise InvalidInput(f"there is no fate {params.fate[:40]!r}", hint=f"fates are {known}") from e


def outlook_view(name: str, found: Outlook) -> RollbackOutlook:
    """Return what a client sees of a look at a rollback. `name`: of the execution that would be rolled back."""
    plan = found.plan
    assert plan.undoes is not None
    pairs = pairs_of(plan)
    return RollbackOutlook(
        name=name,
        operation=plan.undoes.operation.value,
        from_paths=tuple(to_text(there) for there, _ in pairs),
        to_paths=tuple(to_text(back) for _, back in pairs),
        fates=tuple(
            FateView(f.value, told, tally_view(found.tallies[f])) for f, told in MEANINGS.items() if f in found.tallies
        ),
        examples=tuple(
            RollbackExample(e.number, e.fate.value, to_text(e.path) or ".", e.message) for e in found.examples
        ),
        next=found.next,
        backups=found.backups,
        notes=found.notes,
    )
