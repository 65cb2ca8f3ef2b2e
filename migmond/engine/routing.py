"""A look at another destination before anything is sent there: the preflight of a change of route."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import aclosing

import msgspec
import trio

from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict, NotPermitted, PlanInfeasible, Unavailable
from migmond.domain.execution import Destination, Execution, Tally
from migmond.domain.mover_slots import ROUTING_SLOT
from migmond.domain.names import to_text
from migmond.domain.plan import Operation
from migmond.domain.preflight import Need, RootSurvey, Sight, Sighting, SourceFacts, TargetFacts
from migmond.domain.steering import Route
from migmond.domain.units import show_size
from migmond.engine.changer import Changer
from migmond.engine.check import probe
from migmond.engine.crew import open_mover
from migmond.engine.opening import opening_for, part_of
from migmond.engine.places import Places
from migmond.engine.run import Run
from migmond.engine.sieve import Sieve, compiled
from migmond.planning.filesystems import abilities_of
from migmond.planning.fitting import sights_of, takes_all
from migmond.planning.remarks import Case, Remark, remarks
from migmond.planning.room import missing_at
from migmond.planning.routes import destination_for, target_of
from migmond.planning.verdict import obstacles
from migmond.wire.items import RootInfo

PATIENCE_S = 30.0
"""How long another destination is looked at: it takes 0.1 s unless a disk hangs."""


class Seen(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        destination: to be added to those that the execution knows; None when it knows it.
        roots: of the execution at that destination, one for each source.
        notes: what whoever asks for it should know.
    """

    destination: Destination | None
    roots: tuple[RootInfo, ...]
    notes: tuple[str, ...]


class Routing(Changer):
    """For all executions."""

    async def look(self, now: Execution, route: Route, picked: Tally) -> Seen:
        """Look at where a route leads to, with the rights of the execution's movers. Nothing is written there but, by a
        move, a file that is removed at once (see `mover.alias`).

        Args:
            picked: what would go there.

        Raises:
            Conflict: the execution is a rollback.
            PlanInfeasible: nothing can be written there, what is to go there does not fit, or it is no place for it: it
                is or lies in a source, or the reverse, or among the daemon's own files, or its disk is not the one that
                was there when something was sent there before.
            NotPermitted: whose execution it is may not write there.
            Unavailable: it does not answer.
            MoverError: no mover could be started, or it died.
        """
        if now.plan.undoes is not None:
            raise Conflict(f"{now.name} brings things back to where they came from", hint="it has no other destination")
        known = any(d.path == route.destination for d in now.further)
        then = now if known else with_destination(now, Destination(route.destination, ()))
        with trio.move_on_after(PATIENCE_S) as patience:
            seen, target = await self._looked(then, route, picked, known=known)
        if patience.cancelled_caught:
            raise Unavailable(
                f"{to_text(route.destination)} does not answer for {PATIENCE_S:.0f} s", hint="does its disk hang?"
            )
        return msgspec.structs.replace(seen, notes=(*seen.notes, *await self._unfit(then, route, target)))

    async def known(self, now: Execution, run: Run | None, seen: Seen) -> Execution:
        """Let an execution know the destination that was looked at, before anything is sent there. What was cut off
        after this knows it, and sends nothing.

        Args:
            run: what works on it; None when nothing does: then what is returned is to be journaled.
        """
        new = seen.destination
        if new is None or any(d.path == new.path for d in now.further):
            return now
        if run is None:
            return with_destination(now, new)
        await run.add_destination(new, seen.roots)
        return self._roster.now(now)

    async def _looked(self, then: Execution, route: Route, picked: Tally, *, known: bool) -> tuple[Seen, TargetFacts]:
        surroundings, sources = self._surroundings, len(then.plan.sources)
        first = destination_for(route, then) * sources
        opening = part_of(await opening_for(then, surroundings), first, first + sources)
        tasks = await surroundings.journal.get_tasks(then.key, range(1, sources + 1))
        # Single files may have gone to another destination a moment ago.
        single = {n - 1 for n, t in tasks.items() if t.type is not EntryType.DIRECTORY}
        opening = msgspec.structs.replace(
            opening,
            make_targets=False,
            may_be_gone=tuple(sorted(single.union(opening.may_be_gone))),
            probing=then.plan.operation is Operation.MOVE,
        )
        process, opened = await open_mover(surroundings.pool, ROUTING_SLOT, then.identity, opening)
        try:
            targets = await probe(process)
        finally:
            await process.end()
        roots, paths = opened.roots, [target_of(s, route.destination) for s in then.plan.sources]
        notes = []
        for finding in obstacles(paths, targets, [r.target_empty for r in roots]):
            if finding.severity == "blocker":
                kind = NotPermitted if finding.kind == "not_writable" else PlanInfeasible
                raise kind(finding.message, hint=finding.hint)
            notes.append(finding.message)
        notes += self._room(then, route, picked, roots, targets)
        if not all(r.target_exists for r in roots):
            where = to_text(targets[0].mount_point or b"/")
            notes.append(f"it is not there yet: it is made on the file system at {where}")
        destination = None if known else Destination(route.destination, tuple(r.anchor for r in roots))
        return Seen(destination, roots, tuple(notes)), targets[0]

    async def _unfit(self, then: Execution, route: Route, target: TargetFacts) -> list[str]:
        """Return what cannot be there as it is of what would go there: by its name, size, time or kind."""
        abilities = abilities_of(target)
        if takes_all(target, abilities):
            return []
        surroundings, sights = self._surroundings, dict[Sight, Sighting]()
        sieve = Sieve(surroundings.journal, then.key, Places(surroundings.journal, then.key))
        matcher = await compiled(route.selector, surroundings.clock.wall())
        async with aclosing(sieve.picked(matcher)) as lots:
            async for page, positions, followers in lots:
                look = functools.partial(
                    sights_of, page.tasks, positions, page.paths, target, abilities, followers=followers
                )
                for sight, seen in (await trio.to_thread.run_sync(look)).items():
                    sights[sight] = sights[sight].plus(seen) if sight in sights else seen
        survey = RootSurvey(SourceFacts("", compresses=False), Need(), sights)
        case = Case(then.plan, target, abilities, survey, then.identity.uid == 0)
        return [_told(remark, sights[sight]) for sight, remark in remarks(case)]

    def _room(
        self,
        then: Execution,
        route: Route,
        picked: Tally,
        roots: tuple[RootInfo, ...],
        targets: tuple[TargetFacts, ...],
    ) -> Iterator[str]:
        """Yield what is to be said of the room there; raise PlanInfeasible when it is certain that there is too little.

        What is on the file system of its source may be renamed there, or share its content: that takes no room. What is
        there already may be what is to come, and holes take none.
        """
        near = [r.source_device == r.target_device for r in roots]
        if all(near) and (then.plan.operation is Operation.MOVE or then.plan.reflink):
            return
        others = [r for r in self._roster.runs() if r.execution.id != then.id]
        promises = [p for run in others for p in run.promises(run.execution.name)]
        short = missing_at(targets[0], picked, promises)
        told = [f"{show_size(short.bytes)} short"] if short.bytes else []
        told += [f"{short.entries:,} inodes short"] if short.entries else []
        if not told:
            return
        free = f"{' and '.join(told)} at {to_text(route.destination)}: {show_size(targets[0].free_bytes)} free"
        certain = len({t.device for t in targets}) == 1 and all(r.target_empty for r in roots) and not any(near)
        if certain and not (targets[0].compresses or then.totals.spared):
            raise PlanInfeasible(free, hint="choose another destination, make room, or send less there")
        yield f"it may not fit: {free}"


def _told(remark: Remark, seen: Sighting) -> str:
    example = f" ({to_text(seen.example)})" if seen.example else ""
    return "; ".join(filter(None, (remark.text(seen.count) + example, remark.hint)))


def with_destination(execution: Execution, destination: Destination) -> Execution:
    """Return the execution as it is when it knows a further destination."""
    return msgspec.structs.replace(execution, further=(*execution.further, destination))
