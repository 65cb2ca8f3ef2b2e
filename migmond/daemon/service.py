"""What the RPC methods stand on: the engine, with everybody's rights checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import trio

from migmond.breath import Breath
from migmond.daemon.alerts import AlertDesk
from migmond.daemon.evidence import Evidence
from migmond.daemon.failures import error_groups
from migmond.daemon.file_pager import FilePager
from migmond.daemon.listing import sort_key, that_fit, wanted
from migmond.daemon.monitoring import Monitoring
from migmond.daemon.pages import check_after, check_offset
from migmond.daemon.record_desk import RecordDesk
from migmond.daemon.retention import Retention
from migmond.daemon.rights import Rights, author, mover_identity, sees
from migmond.daemon.rolling_back import checked_fate, outlook_view, selector_from_outside
from migmond.daemon.steering import Steered
from migmond.daemon.system_desk import SystemDesk
from migmond.domain import api
from migmond.domain.breakdown import (
    Batches,
    Breakdown,
    BreakdownParams,
    LargeFiles,
    LargeFilesParams,
    TimelineView,
    checked,
)
from migmond.domain.changes import (
    RemovePlan,
    SavePlan,
)
from migmond.domain.error_api import ErrorGroups, SalvageParams, SalvageView
from migmond.domain.errors import InvalidInput, LimitExceeded, NotFound, about
from migmond.domain.execution import Execution
from migmond.domain.forget_api import ForgetParams, ForgetView
from migmond.domain.identity import Peer, Role
from migmond.domain.plan import Plan
from migmond.domain.receipt import ReceiptPage, ReceiptParams, Seals
from migmond.domain.rollback_api import RecoverParams, RollbackOutlook, RollbackParams, RollbackPlanParams
from migmond.domain.samples import NoteView, SampleView
from migmond.domain.steering_api import InterveneParams, InterventionList, InterventionResult, StopAllResult, UndoParams
from migmond.domain.telemetry import Chart, Selection
from migmond.engine.browse import browse
from migmond.engine.bus import EventBus
from migmond.engine.check import check_plan
from migmond.engine.manager import Engine
from migmond.engine.part_views import batches_view, breakdown_view, large_files_view, timeline_view
from migmond.engine.receipt import receipt_page, seal
from migmond.engine.rollbacks import Rollback
from migmond.engine.salvage import salvage
from migmond.engine.settings import Surroundings
from migmond.engine.views import intervention_views, time_text
from migmond.planning.plans import checked_name, checked_reason, plan_of, spec_of
from migmond.planning.selection import takes_long
from migmond.rpc.backend import Dashboards, People

MAX_CHECKS = 8
"""Plans of one user that are walked at a time: each takes a process."""
MAX_SAVED_PLANS = 200
MAX_SALVAGE_S = 86_400.0
MAX_SALVAGES = 4
"""Of one user at a time: each takes a process, and a disk that fails has one head."""
_MAX_REQUEST_ID = 200
_ANOTHERS = "another user's migration"


class Knowledge(msgspec.Struct, frozen=True):
    """What is known about runs and about what they run on.

    Attributes:
        notes: what collectors were told in words of late.
        samples: the newest of every series.
        past: see `Evidence`.
    """

    monitoring: Monitoring
    notes: Callable[[], tuple[NoteView, ...]]
    samples: Callable[[], tuple[SampleView, ...]]
    past: Callable[[Sequence[Selection], float, float, float], Awaitable[Chart | None]]

    async def evidence(self, execution: Execution) -> Evidence:
        """Return what the errors of `execution` are judged by."""
        source, target = await self.monitoring.sides(execution)
        return Evidence(self.notes, self.samples, source, target, self.past)


class Desks(msgspec.Struct, frozen=True):
    """What answers for the rest; see `migmond.rpc.backend.Backend`."""

    people: People
    dashboards: Dashboards
    alerts: AlertDesk
    system: SystemDesk
    records: RecordDesk
    retention: Retention


class Service:
    """Implements `migmond.rpc.backend.Backend`."""

    def __init__(
        self, engine: Engine, surroundings: Surroundings, rights: Rights, knowledge: Knowledge, desks: Desks
    ) -> None:
        self.people = desks.people
        self.dashboards = desks.dashboards
        self.alerts = desks.alerts
        self.system = desks.system
        self.records = desks.records
        self._retention = desks.retention
        self._engine = engine
        self._surroundings = surroundings
        self._rights = rights
        self._find, self._steer, self._reads = rights.find, rights.steer, rights.reads
        self._knowledge = knowledge
        self._checks: Counter[int] = Counter()
        self._salvages: Counter[int] = Counter()
        self._sealing = trio.Lock()
        self._steered = Steered(engine, surroundings)

    @property
    def bus(self) -> EventBus:
        return self._surroundings.bus

    def may_see(self, peer: Peer, execution: str) -> bool:
        return self._rights.may_see(peer, execution)

    # --- plans -------------------------------------------------------------------------------------

    async def check_plan(self, peer: Peer, plan: api.PlanSpec) -> api.PlanVerdict:
        parsed, uid = await _parsed(plan, peer), peer.identity.uid
        if self._checks[uid] >= MAX_CHECKS:
            raise LimitExceeded(f"{MAX_CHECKS} of your plans are being checked already", hint="wait for one of them")
        self._checks[uid] += 1
        try:
            identity = mover_identity(peer, privileged=parsed.privileged)
            promises = self._engine.promises(lambda e: f"{e.name} ({e.id[:6]})" if sees(peer, e) else _ANOTHERS)
            return await check_plan(self._surroundings, parsed, identity, promises)
        finally:
            self._checks[uid] -= 1

    async def browse(self, peer: Peer, params: api.BrowseParams) -> api.Browsed:
        uid = peer.identity.uid
        if self._checks[uid] >= MAX_CHECKS:
            raise LimitExceeded(f"{MAX_CHECKS} of your requests look at disks already", hint="wait for one of them")
        self._checks[uid] += 1
        try:
            return await browse(self._surroundings.pool, peer.identity, params)
        finally:
            self._checks[uid] -= 1

    async def save_plan(self, peer: Peer, plan: api.PlanSpec) -> api.SavedPlan:
        if not plan.name:
            raise InvalidInput("a saved plan needs a name", hint="migmon plan SRC DST --save NAME", field="plan.name")
        parsed, now = await _parsed(plan, peer), self._surroundings.clock.wall()
        async with self._reads[peer.identity.uid]:
            saved = {p.name for p, _ in await self._surroundings.journal.plans(peer.identity.uid)}
        if parsed.name not in saved and len(saved) >= MAX_SAVED_PLANS:
            raise LimitExceeded(f"you have {len(saved)} saved plans", hint="remove some with plan.remove")
        await self._surroundings.journal.apply([SavePlan(peer.identity.uid, parsed, now)])
        return api.SavedPlan(parsed.name, spec_of(parsed), time_text(now))

    async def list_plans(self, peer: Peer) -> api.SavedPlans:
        async with self._reads[peer.identity.uid]:
            plans = await self._surroundings.journal.plans(peer.identity.uid)
        return api.SavedPlans(tuple(api.SavedPlan(p.name, spec_of(p), time_text(at)) for p, at in plans))

    async def remove_plan(self, peer: Peer, name: str) -> api.Acknowledged:
        await self._saved(peer, name)
        await self._surroundings.journal.apply([RemovePlan(peer.identity.uid, name)])
        return api.Acknowledged()

    async def _saved(self, peer: Peer, name: str) -> api.PlanSpec:
        async with self._reads[peer.identity.uid]:
            plans = await self._surroundings.journal.plans(peer.identity.uid)
        for plan, _ in plans:
            if plan.name == name:
                return spec_of(plan)
        raise NotFound(f"you have no saved plan {name!r}", hint="migmon plan SRC DST --save NAME makes one")

    # --- executions --------------------------------------------------------------------------------

    async def start(self, peer: Peer, params: api.StartParams) -> api.ExecutionView:
        if (params.plan is None) == (not params.plan_name):
            raise InvalidInput("give either plan or plan_name", hint="plan_name names a saved plan", field="plan")
        name = checked_name(params.name)
        if len(params.request_id) > _MAX_REQUEST_ID:
            raise _too_long_request()
        spec = params.plan if params.plan is not None else await self._saved(peer, params.plan_name)
        plan = await _parsed(spec, peer)
        identity = mover_identity(peer, privileged=plan.privileged)
        execution = await self._engine.start(plan, identity, name, params.request_id)
        return self._engine.view(execution)

    async def list_executions(self, peer: Peer, params: api.ListParams) -> api.ExecutionPage:
        check_offset(params.offset, params.limit)
        seen = await self._those(self._rights.all_seen_by(peer), wanted(params))
        if params.sort == "created":
            seen.reverse()
            views = await self._views(seen[params.offset : params.offset + params.limit])
        else:
            key = sort_key(params.sort)
            views = sorted(await self._views(seen), key=key)[params.offset : params.offset + params.limit]
        return api.ExecutionPage(tuple(that_fit(views)), len(seen))

    async def _those(self, executions: list[Execution], listed: Callable[[Execution], bool]) -> list[Execution]:
        """A plan may have thousands of paths to look through: others are served in between."""
        found, breath = [], Breath(self._surroundings.clock.monotonic)
        for execution in executions:
            await breath.take()
            if listed(execution):
                found.append(execution)
        return found

    async def _views(self, executions: list[Execution]) -> list[api.ExecutionView]:
        """One takes 50 µs and more: others are served in between."""
        views, breath = [], Breath(self._surroundings.clock.monotonic)
        for execution in executions:
            await breath.take()
            views.append(self._engine.view(execution))
        return views

    async def get_execution(self, peer: Peer, execution_id: str, *, newest: bool = False) -> api.ExecutionView:
        return self._engine.view(self._find(peer, execution_id, newest=newest), closely=True)

    async def list_files(self, peer: Peer, params: api.FilesParams) -> api.TaskPage:
        execution = self._find(peer, params.id)
        check_after(params.after, params.limit)
        async with self._reads[peer.identity.uid]:
            run = self._engine.run_of(execution.id)
            running = run.running_tasks() if run is not None else set[int]()
            journal, clock = self._surroundings.journal, self._surroundings.clock
            return await FilePager(journal, clock, execution, running).page(params)

    async def receipt(self, peer: Peer, params: ReceiptParams) -> ReceiptPage:
        execution = self._find(peer, params.id)
        check_after(params.after, params.limit)
        async with self._reads[peer.identity.uid]:
            return await receipt_page(self._surroundings.journal, execution, params.after, params.limit)

    async def seal_receipt(self, peer: Peer, execution_id: str) -> Seals:
        execution = self._find(peer, execution_id)
        async with self._sealing:  # one at a time: what the others wait for may be what it makes
            return await seal(self._surroundings, lambda: self._engine.find(execution.id))

    async def list_errors(self, peer: Peer, execution_id: str) -> ErrorGroups:
        execution = self._find(peer, execution_id)
        async with self._reads[peer.identity.uid]:
            evidence, now = await self._knowledge.evidence(execution), self._surroundings.clock.wall()
            return ErrorGroups(await error_groups(self._surroundings.journal, execution, evidence, now))

    async def salvage(self, peer: Peer, params: SalvageParams) -> SalvageView:
        execution = self._steer(peer, params.id)
        if not 1 <= params.limit_s <= MAX_SALVAGE_S:
            raise InvalidInput(
                f"limit_s is {params.limit_s}", hint=f"1 to {MAX_SALVAGE_S:.0f} seconds", field="limit_s"
            )
        task = await self._knowledge.monitoring.find(execution, params.path)
        uid = peer.identity.uid
        if self._salvages[uid] >= MAX_SALVAGES:
            raise LimitExceeded(f"{MAX_SALVAGES} files are salvaged already", hint="try again when one has ended")
        self._salvages[uid] += 1
        try:
            return await salvage(self._surroundings, execution, task, params.limit_s)
        finally:
            self._salvages[uid] -= 1

    async def list_interventions(self, peer: Peer, execution_id: str) -> InterventionList:
        execution = self._find(peer, execution_id)
        async with self._reads[peer.identity.uid]:
            found = await self._surroundings.journal.interventions(execution.id)
        return InterventionList(intervention_views(found))

    async def breakdown(self, peer: Peer, params: BreakdownParams) -> Breakdown:
        params, execution = checked(params), self._find(peer, params.id)
        async with self._reads[peer.identity.uid]:
            counted = await self._engine.counted(execution)
            now = self._engine.find(execution.id)
            return await breakdown_view(self._surroundings.journal, now, counted, params)

    async def large_files(self, peer: Peer, params: LargeFilesParams) -> LargeFiles:
        execution = self._find(peer, params.id)
        check_offset(params.offset, params.limit)
        async with self._reads[peer.identity.uid]:
            files, now = (await self._engine.parts(execution)).files, self._surroundings.clock.monotonic()
            return await large_files_view(
                self._surroundings.journal, execution, files, now, params.offset, params.limit
            )

    async def batches(self, peer: Peer, execution_id: str) -> Batches:
        execution = self._find(peer, execution_id)
        async with self._reads[peer.identity.uid]:
            return batches_view((await self._engine.parts(execution)).batches.state())

    async def timeline(self, peer: Peer, execution_id: str) -> TimelineView:
        execution, journal = self._find(peer, execution_id), self._surroundings.journal
        async with self._reads[peer.identity.uid]:
            milestones = await journal.milestones(execution.key)
            return timeline_view(execution, milestones, await journal.interventions(execution.id))

    async def pause(self, peer: Peer, params: api.PauseParams) -> api.ExecutionView:
        execution, reason = self._steer(peer, params.id), checked_reason(params.reason)
        return self._engine.view(await self._engine.pause(execution, author(peer), reason, params.for_s))

    async def resume(self, peer: Peer, params: api.ReasonParams) -> api.ExecutionView:
        execution = self._steer(peer, params.id)
        return self._engine.view(await self._engine.resume(execution, author(peer), checked_reason(params.reason)))

    async def cancel(self, peer: Peer, params: api.ReasonParams) -> api.ExecutionView:
        execution = self._steer(peer, params.id)
        return self._engine.view(await self._engine.cancel(execution, author(peer), checked_reason(params.reason)))

    async def drain(self, peer: Peer, params: api.ReasonParams) -> api.ExecutionView:
        execution = self._steer(peer, params.id)
        return self._engine.view(await self._engine.drain(execution, author(peer), checked_reason(params.reason)))

    async def intervene(self, peer: Peer, params: InterveneParams) -> InterventionResult:
        return await self._steered.intervene(self._steer(peer, params.id), author(peer), params)

    async def undo(self, peer: Peer, params: UndoParams) -> InterventionResult:
        mine = self._rights.all_seen_by(peer)
        id_ = params.intervention or self._engine.undoing.latest_of(author(peer), mine)
        name = self._engine.undoing.execution_of(id_)
        if name not in {e.id for e in mine}:
            raise NotFound(f"there is no intervention {id_[:40]!r}", hint="migmon interventions ID lists them")
        self._steer(peer, name)
        return await self._steered.undo(author(peer), params, id_)

    async def stop_all(self, peer: Peer, reason: str) -> StopAllResult:
        own = [e for e in self._engine.all() if peer.role is Role.ADMIN or e.identity.uid == peer.identity.uid]
        return await self._steered.stop_all(own, author(peer), reason)

    async def verify(self, peer: Peer, execution_id: str) -> api.ExecutionView:
        return self._engine.view(await self._engine.verify(self._steer(peer, execution_id)))

    async def cancel_verification(self, peer: Peer, execution_id: str) -> api.ExecutionView:
        execution = self._steer(peer, execution_id)
        return self._engine.view(await self._engine.cancel_verification(execution, author(peer)))

    async def forget(self, peer: Peer, params: ForgetParams) -> ForgetView:
        execution, reason = self._steer(peer, params.id), checked_reason(params.reason)
        gone = await self._retention.forget(execution, author(peer), reason)
        return ForgetView(gone.id, gone.name, gone.totals.planned.entries)

    async def rollback(self, peer: Peer, params: RollbackParams) -> api.ExecutionView:
        return await self._follow_up(peer, params, again=False)

    async def recover(self, peer: Peer, params: RecoverParams) -> api.ExecutionView:
        return await self._follow_up(peer, params, again=True)

    async def _follow_up(self, peer: Peer, params: RollbackParams | RecoverParams, *, again: bool) -> api.ExecutionView:
        first, reason = self._steer(peer, params.id), checked_reason(params.reason)
        if len(params.request_id) > _MAX_REQUEST_ID:
            raise _too_long_request()
        selector = await selector_from_outside(params.selector)
        order = Rollback(first, selector, reason, params.request_id, again=again)
        return self._engine.view(await self._engine.rollback(order, first.identity, author(peer)))

    async def rollback_plan(self, peer: Peer, params: RollbackPlanParams) -> RollbackOutlook:
        fate, first, uid = checked_fate(params), self._steer(peer, params.id), peer.identity.uid
        order = Rollback(first, await selector_from_outside(params.selector))
        if self._checks[uid] >= MAX_CHECKS:
            raise LimitExceeded(f"{MAX_CHECKS} of your plans are being checked already", hint="wait for one of them")
        self._checks[uid] += 1
        try:
            found = await self._engine.rollback_plan(order, first.identity, fate, params.after, params.limit)
        finally:
            self._checks[uid] -= 1
        return outlook_view(first.name, found)


async def _parsed(spec: api.PlanSpec, peer: Peer) -> Plan:
    """As `plan_of`; what takes long to compile is compiled in a thread."""
    selector = spec.selector
    with about("plan"):
        if takes_long(selector.include, selector.exclude):
            return await trio.to_thread.run_sync(plan_of, spec, peer)
        return plan_of(spec, peer)


def _too_long_request() -> InvalidInput:
    hint = f"use at most {_MAX_REQUEST_ID} characters"
    return InvalidInput("request_id is too long", hint=hint, field="request_id")
