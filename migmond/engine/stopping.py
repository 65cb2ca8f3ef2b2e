"""The emergency stop: no execution reads or writes anything until it is resumed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import trio

from migmond.domain.execution import Execution
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.states import LIVE_EXECUTION_STATES, TERMINAL_EXECUTION_STATES
from migmond.domain.steering import Pause
from migmond.engine.changer import Changer
from migmond.engine.process import MoverProcess
from migmond.engine.recording import Ask
from migmond.engine.run import Run
from migmond.planning.standing import next_hold_number

AT_REST_S = 1.0
"""How long it is waited until movers are at rest: issue 6, "halts every byte of I/O within one second"."""
_LOOK_S = 0.005


class Stopped(msgspec.Struct, frozen=True):
    """What was stopped. `busy`: what its movers were still in when AT_REST_S was over: a system call that hangs or a
    sync; they begin nothing after it."""

    execution: Execution
    record: Intervention
    busy: tuple[str, ...]


class Stopping(Changer):
    """For all executions."""

    async def stop_all(
        self, executions: Iterable[Execution], author: str, reason: str, *, automatic: bool = False
    ) -> list[Stopped]:
        """Put an emergency hold on all of `executions` that run, wait or are being verified, and end their salvages.

        Everything is told to stop first and journaled then: movers do not wait for the journal's disk.

        Returns:
            What was stopped, when that is durable and movers are at rest, or have had AT_REST_S for it.

        Raises:
            JournalError: it could not be journaled. All is stopped nevertheless.
        """
        ask = Ask(Pause(), author, reason, automatic=automatic)
        halted: dict[str, Intervention] = {}
        late: set[str] = set()
        ended: set[str] = set()
        for execution in executions:
            now, run = self._roster.now(execution), self._roster.run_of(execution.id)
            salvaging = self._surroundings.salvages.stop(now.id)
            if run is not None and now.state not in TERMINAL_EXECUTION_STATES:
                if run.closed or not run.ready.is_set():
                    late.add(now.id)  # nothing of it reads or writes any more, or yet
                else:
                    halted[now.id] = self._halt(run, ask)
            elif self._verifies(now):
                halted[now.id] = self._halt_verification(now, ask)
            elif salvaging and now.state not in LIVE_EXECUTION_STATES:
                halted[now.id] = self._salvage_ended(now, ask)
                ended.add(now.id)
        began = self._surroundings.clock.monotonic()
        for execution in executions:
            now = self._roster.now(execution)
            if now.id in ended:
                await self._recording.put(now, [halted[now.id]])
            elif now.id in halted:
                await self._journaled(now, halted[now.id])
            elif now.id in late or (self._roster.run_of(now.id) is None and now.state in LIVE_EXECUTION_STATES):
                record = await self._hold_back(now, ask)
                if record is not None:
                    halted[now.id] = record
        busy = await self._at_rest(halted, began + AT_REST_S)
        there = {e.id: e for e in self._roster.all()}
        return [Stopped(there[id_], record, busy.get(id_, ())) for id_, record in halted.items() if id_ in there]

    def _verifies(self, now: Execution) -> bool:
        verifier = self._verifications.of(now.id)
        return verifier is not None and not verifier.held

    def _halt(self, run: Run, ask: Ask) -> Intervention:
        record = self._made(run.execution, ask)
        self._records.add(record, lasting=True)
        run.pause(HoldReason.EMERGENCY, ask.author, ask.reason, None, intervention=record.id)
        record = msgspec.structs.replace(record, after=run.execution.state.value)
        run.record([record])
        return record

    def _halt_verification(self, now: Execution, ask: Ask) -> Intervention:
        record = msgspec.structs.replace(self._made(now, ask), before="verifying", after="its verification is held")
        self._records.add(record, lasting=True)
        verifier = self._verifications.of(now.id)
        assert verifier is not None
        verifier.hold(record.id)
        return record

    def _salvage_ended(self, now: Execution, ask: Ask) -> Intervention:
        """There is nothing to hold: it can be asked for again, and goes on then."""
        after = "its salvage was ended"
        record = msgspec.structs.replace(self._made(now, ask), before="salvaging", after=after, undo="")
        self._records.add(record, lasting=False)
        return record

    def _made(self, now: Execution, ask: Ask) -> Intervention:
        return msgspec.structs.replace(self._recording.made(now, ask, None), kind=InterventionKind.STOP_ALL)

    async def _journaled(self, now: Execution, record: Intervention) -> None:
        if self._roster.run_of(now.id) is not None:
            await self._roster.journaled(now)
        elif self._verifications.of(now.id) is not None:
            await self._recording.put(now, [record])

    async def _hold_back(self, now: Execution, ask: Ask) -> Intervention | None:
        """Let what has not begun not begin, or do nothing when its turn comes."""
        async with self._launching[now.id]:
            if self._roster.get(now.id) is None:  # it has ended and was forgotten meanwhile
                return None
            run = await self._roster.controllable(now)
            now = self._roster.now(now)
            if run is not None:
                record = self._halt(run, ask)
                await self._roster.journaled(now)
                return record
            if now.state not in LIVE_EXECUTION_STATES:
                return None
            record = self._made(now, ask)
            record = msgspec.structs.replace(record, after=f"{now.state.value}, held")
            self._records.add(record, lasting=True)
            id_, why = f"h{next_hold_number(now.holds)}", HoldReason.EMERGENCY
            hold = Hold(id_, why, ask.author, record.at, None, ask.reason, intervention=record.id)
            await self._recording.put(msgspec.structs.replace(now, holds=(*now.holds, hold)), [record])
            return record

    async def _at_rest(self, ids: Iterable[str], deadline: float) -> dict[str, tuple[str, ...]]:
        """Wait until no mover of these does anything; returns what some still do at the deadline."""
        while True:
            busy = {id_: found for id_ in ids if (found := tuple(self._busy(id_)))}
            if not busy or self._surroundings.clock.monotonic() >= deadline:
                return busy
            await trio.sleep(_LOOK_S)

    def _busy(self, id_: str) -> list[str]:
        run, verifier = self._roster.run_of(id_), self._verifications.of(id_)
        processes: list[MoverProcess] = list(verifier.movers) if verifier is not None else []
        if run is not None:
            processes += run.movers
        found = []
        for process in processes:
            glimpse = process.control.look()
            copying = glimpse.started_ns and not glimpse.paused
            if copying or glimpse.commit_started_ns:
                found.append(f"mover {process.slot}: {glimpse.longest[1].name.lower()}")
        return found
