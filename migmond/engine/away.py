"""Destinations whose disks are not there when a run begins, and whether anything is still to go there."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

from migmond.domain.errors import MoverError, NotPermitted, PlanInfeasible
from migmond.domain.execution import Execution
from migmond.domain.mover_slots import FIRST_SLOT
from migmond.domain.states import TaskState
from migmond.domain.steering import Route
from migmond.engine.crew import open_mover
from migmond.engine.opening import opening_for
from migmond.engine.places import Places
from migmond.engine.process import MoverProcess
from migmond.engine.settings import Surroundings
from migmond.engine.sieve import PAGE, Sieve, compiled
from migmond.planning.routes import destination_for, rest_goes_to
from migmond.planning.selection import Matcher
from migmond.wire.from_mover import Opened


class Begun(msgspec.Struct, frozen=True):
    """How a run may begin.

    Attributes:
        away: destinations that are not there, and that nothing is to go to any more.
        first: a mover that has opened the rest; None when none could.
        why: what is missing, "" when nothing is that anybody knows of.
    """

    away: frozenset[int]
    first: tuple[MoverProcess, Opened] | None
    why: str = ""


async def begin(execution: Execution, surroundings: Surroundings) -> Begun:
    """Have a mover open the roots of an execution that goes on: without those of destinations that are not there and
    that nothing needs. The caller has the mover."""
    away: frozenset[int] = frozenset()
    while True:
        opening = await opening_for(execution, surroundings, away)
        try:
            first = await open_mover(surroundings.pool, FIRST_SLOT, execution.identity, opening)
        except (PlanInfeasible, NotPermitted) as e:
            missing = _destination_at(execution, e.path, away)
            if missing is None:
                return Begun(away, None)  # whoever comes next is told the same
            left = await still_to_go(execution, surroundings, missing)
            if left:
                return Begun(away, None, f"{e.message}; {left} still to go there, unless a route sends it elsewhere")
            away |= {missing}
        except MoverError:
            return Begun(away, None)
        else:
            return Begun(away, first)


def _destination_at(execution: Execution, path: bytes | None, away: frozenset[int]) -> int | None:
    """Return the destination that has an anchor at `path`, of those that are not known to be away."""
    anchors = [execution.anchors, *(d.anchors for d in execution.further)]
    found = [n for n, its in enumerate(anchors) if n not in away and path in {a.path for a in its}]
    return found[0] if found else None


async def still_to_go(execution: Execution, surroundings: Surroundings, destination: int) -> str:
    """Say how much is unfinished that a destination is needed for, "" when nothing is: entries that go there by the
    routes in force. When nothing goes anywhere any more, copies there whose sources are to be deleted. Else these fail,
    and a resume takes them up again; so do directories, which lack nothing but their times."""
    standing = [s for s in execution.standing if isinstance(s.action, Route)]
    if execution.totals.growing and destination in {rest_goes_to(standing, execution), *_led_to(execution)}:
        return "what is not scanned yet is"
    count, others = await _pending(execution, surroundings, destination)
    if not (count or others):
        count = await _durable(execution, surroundings, destination)
    return f"{count:,} entries are" if count > 1 else "1 entry is" if count else ""


def _led_to(execution: Execution) -> set[int]:
    return {destination_for(s.action, execution) for s in execution.standing if isinstance(s.action, Route)}


async def _pending(execution: Execution, surroundings: Surroundings, destination: int) -> tuple[int, int]:
    """Return how many pending entries go to a destination, and how many to others."""
    journal, count, others = surroundings.journal, 0, 0
    routes: list[tuple[int, Matcher]] = []
    for change in execution.standing:
        if isinstance(change.action, Route):
            matcher = await compiled(change.action.selector, change.since)
            routes.append((destination_for(change.action, execution), matcher))
    sieve = Sieve(journal, execution.key, Places(journal, execution.key))
    for followers in (False, True):
        after = 0
        while True:
            page = await sieve.read(after, [m for _, m in routes], followers=followers)
            if not page.tasks.numbers:
                break
            after = page.tasks.numbers[-1]
            picked = await trio.to_thread.run_sync(page.picked, [m for _, m in routes])
            here = _going(page.tasks.numbers, [d for d, _ in routes], picked, destination)
            count, others = count + here, others + len(page.tasks.numbers) - here
    return count, others


def _going(numbers: Sequence[int], leads_to: Sequence[int], picked: Sequence[Sequence[int]], destination: int) -> int:
    """Return how many of `numbers` go to a destination: of several routes the latest counts."""
    goes: dict[int, int] = {}
    for to, its in zip(leads_to, picked, strict=True):
        goes.update(dict.fromkeys(its, to))
    return sum(1 for n in numbers if goes.get(n, 0) == destination)


async def _durable(execution: Execution, surroundings: Surroundings, destination: int) -> int:
    journal, count, after = surroundings.journal, 0, 0
    while True:
        page = await journal.tasks(
            execution.key, after=after, limit=PAGE, states=(TaskState.DURABLE,), directories=False
        )
        sent = await journal.sent_to(execution.key, [t.number for t in page])
        count += sum(1 for t in page if sent.get(t.number, 0) == destination)
        if len(page) < PAGE:
            return count
        after = page[-1].number
