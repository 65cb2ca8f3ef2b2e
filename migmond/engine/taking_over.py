"""The ends of a run in bulk: what it takes over from the one before, and what it gives up when it is cancelled."""

from __future__ import annotations

from migmond.domain.changes import CancelPending, CancelSome, CloseGroup, Record
from migmond.domain.entry import EntryType
from migmond.domain.states import Outcome, TaskState
from migmond.engine.leftovers import copies_beside_sources
from migmond.engine.scope import Orphan, Scope

CANCELLED_AT_ONCE = 10_000
"""Pending entries that become cancelled in one transaction, for which nobody else can journal anything: 10^7 of them,
1,000 pieces, took 56 s on a busy machine."""


async def take_over(scope: Scope) -> None:
    """Read from the journal what an earlier scope left."""
    journal, key = scope.surroundings.journal, scope.key
    groups = await journal.open_groups(key)
    used = 0
    stale = [
        CloseGroup(key, g.id)
        for g in groups
        if all(m.outcome is Outcome.RENAMED and m.number <= len(scope.plan.sources) for m in g.members)
    ]
    claimed: set[int] = set()
    for group in reversed(groups):
        used = max(used, group.id)
        if any(c.group == group.id for c in stale):
            continue  # a whole root's rename: asking for it again tells whether it happened
        tasks = await journal.get_tasks(key, [m.number for m in group.members])
        # A task that could not be published with one group may be in a later one as well: that one counts.
        pending = {n: t for n, t in tasks.items() if t.state is TaskState.PENDING and n not in claimed}
        claimed |= pending.keys()
        scope.in_hand.adopt(pending)
        scope.orphans.append(Orphan(group, pending))
    scope.skip_groups_to(used)
    scope.ledger.record(stale)
    roots = await journal.get_tasks(key, range(1, len(scope.plan.sources) + 1))
    scope.single_roots = tuple(n - 1 for n, t in sorted(roots.items()) if t.type is not EntryType.DIRECTORY)
    if not await journal.unread_directories(key, limit=1):
        scope.scan_done = True
        if scope.account.totals.growing:
            scope.account.scanned(complete=True)
    elif not scope.account.totals.growing:  # a directory that could not be listed is tried again
        scope.account.scanned(complete=False)


async def cancel_rest(scope: Scope) -> str:
    """Give up everything that is not done; returns what stays at the destination of it, for people."""
    journal = scope.surroundings.journal
    await scope.ledger.settled()  # what is durable is so in the journal
    doubled = await copies_beside_sources(journal, scope.key)
    last = await journal.last_number(scope.key)
    # Cut off on the way, it is still cancelling: the next daemon goes on with it.
    for after in range(0, last - CANCELLED_AT_ONCE, CANCELLED_AT_ONCE):
        await scope.ledger.commit([CancelSome(scope.key, after, after + CANCELLED_AT_ONCE)])
    told = scope.account.cancel_rest(tuple(scope.leftovers.failed.values()))
    await scope.ledger.commit([CancelPending(scope.key), Record(scope.key, told)])
    return doubled
