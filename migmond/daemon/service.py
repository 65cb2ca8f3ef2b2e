"""What the RPC methods stand on: the engine, with everybody's rights checked."""

from __future__ import annotations

import os
import pwd
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import msgspec
import psutil
import trio

import migmond
from migmond.daemon.checks import loop_check, plugin_checks, small_files_check, space_check
from migmond.daemon.exports import Exports
from migmond.daemon.failures import error_groups
from migmond.daemon.file_pager import FilePager
from migmond.daemon.history import Telemetry
from migmond.daemon.journal_care import journal_checks
from migmond.daemon.live_config import LiveConfig
from migmond.daemon.monitoring import Monitoring
from migmond.daemon.reports import Reports
from migmond.daemon.shared import Shared
from migmond.daemon.watchdog import Blocked
from migmond.domain import api, daemon_api
from migmond.domain.analysis import ComparisonView, SessionView, WhyParams, WhyView
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
from migmond.domain.errors import InvalidInput, LimitExceeded, NotFound, NotPermitted
from migmond.domain.execution import Execution
from migmond.domain.history import HistoryParams, HistorySeriesParams, HistoryView, SeriesPage
from migmond.domain.identity import Identity, Peer, Role
from migmond.domain.limits import MAX_INTEGER
from migmond.domain.plan import Plan
from migmond.domain.receipt import ReceiptPage, ReceiptParams, Seals
from migmond.domain.report import (
    MOST_COMPARED,
    CompareParams,
    ExportPage,
    ExportParams,
    PeriodReport,
    ReportSinceParams,
    ReportView,
)
from migmond.domain.samples import MetricList, Notes, NotesParams, NoteView, Samples, SamplesParams, SampleView
from migmond.domain.states import ExecutionState
from migmond.engine.breath import Breath
from migmond.engine.bus import EventBus
from migmond.engine.check import check_plan
from migmond.engine.manager import Engine
from migmond.engine.part_views import batches_view, breakdown_view, large_files_view, timeline_view
from migmond.engine.receipt import receipt_page, seal
from migmond.engine.settings import Surroundings
from migmond.engine.views import intervention_views, time_text
from migmond.planning.plans import checked_name, checked_reason, plan_of, spec_of
from migmond.planning.selection import takes_long

MAX_PAGE = 10_000
MAX_CHECKS = 8
"""Plans of one user that are walked at a time: each takes a process."""
MAX_READS = 2
"""Requests of one user that read the journal at a time: what runs reads it as well, and waits behind them."""
MAX_SAVED_PLANS = 200
MAX_HOLDS = 100
"""On one execution: they are part of every view and event."""
_VIEW_BYTES = 2_000
"""Of one without its paths and holds."""
_MAX_PAGE_BYTES = 4 << 20
_MAX_REQUEST_ID = 200
_FOR_ADMINS = '"(shown to admins)"'
_ANOTHERS = "another user's migration"
_STATES = frozenset(s.value for s in ExecutionState)
_STATE_ORDER = ("failed", "completed_with_errors", "paused", "cancelling", "draining", "running", "waiting", "created")
"""Worst first; all others come after."""


class Facts(msgspec.Struct, frozen=True):
    """What the service cannot know by itself, from the composition root."""

    socket: str
    state_directory: str
    user_daemon: bool
    started_at: float
    clients: Callable[[], int]
    subscriptions: Callable[[], int]
    loop_waited: Callable[[], Blocked]
    loop_worked: Callable[[], Blocked]
    plugins: Callable[[], tuple[daemon_api.PluginView, ...]]
    metrics: Callable[[], MetricList]
    samples: Callable[[], tuple[SampleView, ...]]
    notes: Callable[[], tuple[NoteView, ...]]
    config: LiveConfig
    telemetry: Telemetry
    monitoring: Monitoring
    reports: Reports
    exports: Exports


class Service:
    """Implements `migmond.rpc.backend.Backend`."""

    def __init__(self, engine: Engine, surroundings: Surroundings, facts: Facts) -> None:
        self._engine = engine
        self._surroundings = surroundings
        self._facts = facts
        self._checks: Counter[int] = Counter()
        self._sealing = trio.Lock()
        self._reads: defaultdict[int, trio.CapacityLimiter] = defaultdict(lambda: trio.CapacityLimiter(MAX_READS))
        self._doctor = Shared(self._journal_checks)

    @property
    def bus(self) -> EventBus:
        return self._surroundings.bus

    # --- rights ------------------------------------------------------------------------------------

    def may_see(self, peer: Peer, execution: str) -> bool:
        try:
            return _sees(peer, self._engine.find(execution))
        except NotFound:
            return False

    def _find(self, peer: Peer, name: str, *, newest: bool = False) -> Execution:
        return self._engine.find(name, lambda execution: _sees(peer, execution), newest=newest)

    def _steer(self, peer: Peer, name: str) -> Execution:
        execution = self._find(peer, name)
        if peer.role < Role.ADMIN and execution.identity.uid != peer.identity.uid:
            raise NotPermitted(f"{execution.name} belongs to uid {execution.identity.uid}", hint="ask an admin")
        if execution.identity.uid == peer.identity.uid and not execution.plan.privileged:
            return self._engine.adopt(execution, peer.identity)
        return execution

    # --- plans -------------------------------------------------------------------------------------

    async def check_plan(self, peer: Peer, plan: api.PlanSpec) -> api.PlanVerdict:
        parsed, uid = await _parsed(plan, peer), peer.identity.uid
        if self._checks[uid] >= MAX_CHECKS:
            raise LimitExceeded(f"{MAX_CHECKS} of your plans are being checked already", hint="wait for one of them")
        self._checks[uid] += 1
        try:
            identity = _mover_identity(peer, privileged=parsed.privileged)
            promises = self._engine.promises(lambda e: f"{e.name} ({e.id[:6]})" if _sees(peer, e) else _ANOTHERS)
            return await check_plan(self._surroundings, parsed, identity, promises)
        finally:
            self._checks[uid] -= 1

    async def save_plan(self, peer: Peer, plan: api.PlanSpec) -> api.SavedPlan:
        if not plan.name:
            raise InvalidInput("a saved plan needs a name", hint="migmon plan SRC DST --save NAME")
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
            raise InvalidInput("give either plan or plan_name", hint="plan_name names a saved plan")
        name = checked_name(params.name)
        if len(params.request_id) > _MAX_REQUEST_ID:
            raise InvalidInput("request_id is too long", hint=f"use at most {_MAX_REQUEST_ID} characters")
        spec = params.plan if params.plan is not None else await self._saved(peer, params.plan_name)
        plan = await _parsed(spec, peer)
        identity = _mover_identity(peer, privileged=plan.privileged)
        execution = await self._engine.start(plan, identity, name, params.request_id)
        return self._engine.view(execution)

    async def list_executions(self, peer: Peer, params: api.ListParams) -> api.ExecutionPage:
        if params.offset < 0 or not 0 < params.limit <= MAX_PAGE:
            raise InvalidInput(f"offset {params.offset}, limit {params.limit}", hint=f"limit is 1 to {MAX_PAGE}")
        seen = [e for e in self._engine.all() if _sees(peer, e)]
        if unknown := sorted(set(params.states) - _STATES):
            raise InvalidInput(
                f"there is no state {unknown[0][:40]!r}", hint=f"states are {', '.join(sorted(_STATES))}"
            )
        if params.states:
            seen = [e for e in seen if e.state.value in params.states]
        if params.sort == "created":
            seen.reverse()
            views = await self._views(seen[params.offset : params.offset + params.limit])
        else:
            key = _sort_key(params.sort)
            views = sorted(await self._views(seen), key=key)[params.offset : params.offset + params.limit]
        return api.ExecutionPage(tuple(_that_fit(views)), len(seen))

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
        if not 0 <= params.after <= MAX_INTEGER or not 0 < params.limit <= MAX_PAGE:
            raise InvalidInput(f"after {params.after}, limit {params.limit}", hint=f"limit is 1 to {MAX_PAGE}")
        async with self._reads[peer.identity.uid]:
            run = self._engine.run_of(execution.id)
            running = run.running_tasks() if run is not None else set[int]()
            journal, clock = self._surroundings.journal, self._surroundings.clock
            return await FilePager(journal, clock, execution, running).page(params)

    async def receipt(self, peer: Peer, params: ReceiptParams) -> ReceiptPage:
        execution = self._find(peer, params.id)
        if not 0 <= params.after <= MAX_INTEGER or not 0 < params.limit <= MAX_PAGE:
            raise InvalidInput(f"after {params.after}, limit {params.limit}", hint=f"limit is 1 to {MAX_PAGE}")
        async with self._reads[peer.identity.uid]:
            return await receipt_page(self._surroundings.journal, execution, params.after, params.limit)

    async def seal_receipt(self, peer: Peer, execution_id: str) -> Seals:
        execution = self._find(peer, execution_id)
        async with self._sealing:  # one at a time: what the others wait for may be what it makes
            return await seal(self._surroundings, lambda: self._engine.find(execution.id))

    async def list_errors(self, peer: Peer, execution_id: str) -> api.ErrorGroups:
        execution = self._find(peer, execution_id)
        async with self._reads[peer.identity.uid]:
            return api.ErrorGroups(await error_groups(self._surroundings.journal, execution))

    async def list_interventions(self, peer: Peer, execution_id: str) -> api.InterventionList:
        execution = self._find(peer, execution_id)
        async with self._reads[peer.identity.uid]:
            found = await self._surroundings.journal.interventions(execution.id)
        return api.InterventionList(intervention_views(found))

    async def breakdown(self, peer: Peer, params: BreakdownParams) -> Breakdown:
        params, execution = checked(params), self._find(peer, params.id)
        async with self._reads[peer.identity.uid]:
            counted = await self._engine.counted(execution)
            now = self._engine.find(execution.id)
            return await breakdown_view(self._surroundings.journal, now, counted, params)

    async def large_files(self, peer: Peer, params: LargeFilesParams) -> LargeFiles:
        execution = self._find(peer, params.id)
        if params.offset < 0 or not 0 < params.limit <= MAX_PAGE:
            raise InvalidInput(f"offset {params.offset}, limit {params.limit}", hint=f"limit is 1 to {MAX_PAGE}")
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
        if params.for_s is not None and not 0 < params.for_s < 10 * 366 * 86400:
            raise InvalidInput(
                f"a pause of {params.for_s} s makes no sense", hint="give e.g. --for 2h, or leave it out"
            )
        execution, reason = self._steer(peer, params.id), checked_reason(params.reason)
        if len(execution.holds) >= MAX_HOLDS:
            raise LimitExceeded(f"{execution.name} has {MAX_HOLDS} holds already", hint="migmon resume lifts them")
        return self._engine.view(await self._engine.pause(execution, _author(peer), reason, params.for_s))

    async def resume(self, peer: Peer, params: api.ReasonParams) -> api.ExecutionView:
        execution = self._steer(peer, params.id)
        return self._engine.view(await self._engine.resume(execution, _author(peer), checked_reason(params.reason)))

    async def cancel(self, peer: Peer, params: api.ReasonParams) -> api.ExecutionView:
        execution = self._steer(peer, params.id)
        return self._engine.view(await self._engine.cancel(execution, _author(peer), checked_reason(params.reason)))

    async def drain(self, peer: Peer, params: api.ReasonParams) -> api.ExecutionView:
        execution = self._steer(peer, params.id)
        return self._engine.view(await self._engine.drain(execution, _author(peer), checked_reason(params.reason)))

    async def verify(self, peer: Peer, execution_id: str) -> api.ExecutionView:
        return self._engine.view(await self._engine.verify(self._steer(peer, execution_id)))

    async def cancel_verification(self, peer: Peer, execution_id: str) -> api.ExecutionView:
        execution = self._steer(peer, execution_id)
        return self._engine.view(await self._engine.cancel_verification(execution, _author(peer)))

    # --- the daemon --------------------------------------------------------------------------------

    async def status(self, peer: Peer) -> daemon_api.Status:
        facts, condition = self._facts, self._surroundings.journal.condition()
        waited, worked = facts.loop_waited(), facts.loop_worked()
        states = Counter(e.state.value for e in self._engine.all() if _sees(peer, e))
        return daemon_api.Status(
            version=migmond.__version__,
            pid=os.getpid(),
            socket=facts.socket,
            state_directory=facts.state_directory,
            user_daemon=facts.user_daemon,
            uptime_s=self._surroundings.clock.monotonic() - facts.started_at,
            resident_bytes=psutil.Process().memory_info().rss,
            clients=facts.clients(),
            subscriptions=facts.subscriptions(),
            executions=dict(states),
            movers=self._engine.movers(),
            loop_lag_max_s=waited.seconds,
            plugins=facts.plugins(),
            journal_trouble=condition.damage or condition.short,
            config_trouble=self._facts.config.trouble,
            loop_lag_by=waited.task,
            loop_work_max_s=worked.seconds,
            loop_work_by=worked.task,
        )

    async def doctor(self, peer: Peer) -> daemon_api.Checks:
        checks = [*await self._doctor.get()]
        checks += await self._facts.telemetry.checks()
        checks += plugin_checks(self._facts.plugins())
        checks.append(self._facts.config.check())
        checks.append(small_files_check(wanted=self._facts.config.started.settings.movers.machine_code))
        checks.append(space_check(self._facts.state_directory))
        checks.append(loop_check(self._facts.loop_waited()))
        return daemon_api.Checks(tuple(checks))

    async def _journal_checks(self) -> list[daemon_api.Check]:
        return await journal_checks(self._surroundings.journal, self._backup_keep, self._facts.state_directory)

    @property
    def _backup_keep(self) -> int:
        return self._facts.config.newest.settings.journal.backup_keep

    async def backup(self, peer: Peer) -> daemon_api.Backup:
        made = await self._surroundings.journal.backup(self._backup_keep)
        return daemon_api.Backup(made.path, time_text(made.at), made.size_bytes)

    async def plugins(self, peer: Peer) -> daemon_api.PluginList:
        return daemon_api.PluginList(self._facts.plugins())

    async def config(self, peer: Peer, key: str) -> daemon_api.ConfigValues:
        values = self._facts.config.values(key)
        if not values:
            raise NotFound(f"there is no setting {key!r}", hint="migmon config shows all of them")
        if peer.role < Role.ADMIN:
            values = [_without_secret(v) for v in values]
        return daemon_api.ConfigValues(tuple(values))

    async def metrics(self, peer: Peer) -> MetricList:
        return self._facts.metrics()

    async def samples(self, peer: Peer, params: SamplesParams) -> Samples:
        if params.offset < 0 or not 0 < params.limit <= MAX_PAGE:
            raise InvalidInput(f"offset {params.offset}, limit {params.limit}", hint=f"limit is 1 to {MAX_PAGE}")
        wanted = params.labels.items()
        found = [s for s in self._facts.samples() if s.metric.startswith(params.prefix) and wanted <= s.labels.items()]
        return Samples(tuple(found[params.offset : params.offset + params.limit]), len(found))

    async def notes(self, peer: Peer, params: NotesParams) -> Notes:
        if not 0 < params.limit <= MAX_PAGE:
            raise InvalidInput(f"limit {params.limit}", hint=f"limit is 1 to {MAX_PAGE}")
        found = [n for n in self._facts.notes() if params.device in ("", n.device) and params.kind in ("", n.kind)]
        return Notes(tuple(found[-params.limit :]))

    async def session(self, peer: Peer, execution_id: str) -> SessionView:
        execution = self._find(peer, execution_id, newest=True)
        async with self._reads[peer.identity.uid]:
            return await self._facts.monitoring.session(execution)

    async def why(self, peer: Peer, params: WhyParams) -> WhyView:
        execution = self._find(peer, params.id, newest=True)
        async with self._reads[peer.identity.uid]:
            return await self._facts.monitoring.why(execution, params.path)

    async def query_history(self, peer: Peer, params: HistoryParams) -> HistoryView:
        async with self._reads[peer.identity.uid]:
            return await self._facts.telemetry.query(params, self._seen_by(peer))

    async def list_series(self, peer: Peer, params: HistorySeriesParams) -> SeriesPage:
        async with self._reads[peer.identity.uid]:
            return await self._facts.telemetry.series(params, self._seen_by(peer))

    # --- reports -----------------------------------------------------------------------------------

    async def report(self, peer: Peer, execution_id: str) -> ReportView:
        execution = self._find(peer, execution_id)
        async with self._reads[peer.identity.uid]:
            return await self._facts.reports.report(execution, lambda e: _sees(peer, e))

    async def report_since(self, peer: Peer, params: ReportSinceParams) -> PeriodReport:
        async with self._reads[peer.identity.uid]:
            return await self._facts.reports.since(params, lambda e: _sees(peer, e))

    async def compare(self, peer: Peer, params: CompareParams) -> ComparisonView:
        if not 2 <= len(params.ids) <= MOST_COMPARED:
            raise InvalidInput(f"{len(params.ids)} executions", hint=f"compare 2 to {MOST_COMPARED}")
        found = [self._find(peer, name) for name in params.ids]
        if len({e.key for e in found}) < len(found):
            raise InvalidInput("an execution is compared with itself", hint="give different ones")
        async with self._reads[peer.identity.uid]:
            return await self._facts.reports.compare(found, lambda e: _sees(peer, e))

    async def export(self, peer: Peer, params: ExportParams) -> ExportPage:
        execution = self._find(peer, params.execution) if params.execution else None
        async with self._reads[peer.identity.uid]:
            return await self._facts.exports.page(params, execution, lambda e: _sees(peer, e), self._seen_by(peer))

    def _seen_by(self, peer: Peer) -> frozenset[str] | None:
        """The ids of the executions that `peer` may see; None for all, those of which nothing else is left as well."""
        if peer.role is not Role.OPERATOR:
            return None
        return frozenset(e.id for e in self._engine.all() if _sees(peer, e))


async def _parsed(spec: api.PlanSpec, peer: Peer) -> Plan:
    """As `plan_of`; what takes long to compile is compiled in a thread."""
    selector = spec.selector
    if takes_long(selector.include, selector.exclude):
        return await trio.to_thread.run_sync(plan_of, spec, peer)
    return plan_of(spec, peer)


def _that_fit(views: list[api.ExecutionView]) -> Iterator[api.ExecutionView]:
    """Yield as many as a page may hold, at least one: a few plans of a thousand sources would fill a frame."""
    size = 0
    for view in views:
        size += _VIEW_BYTES + len(view.destination) + sum(map(len, view.sources)) + sum(len(h.note) for h in view.holds)
        if size > _MAX_PAGE_BYTES and view is not views[0]:
            return
        yield view


def _sees(peer: Peer, execution: Execution) -> bool:
    """Operators see what is theirs: names of files are as private as the files. Viewers were given the sight of all."""
    return peer.role is not Role.OPERATOR or execution.identity.uid == peer.identity.uid


def _mover_identity(peer: Peer, *, privileged: bool) -> Identity:
    if not privileged:
        return peer.identity
    if os.geteuid() != 0:
        raise NotPermitted("this daemon has no rights but yours", hint="a privileged migration needs the system daemon")
    return Identity(0, 0, ())


def _without_secret(value: daemon_api.ConfigValue) -> daemon_api.ConfigValue:
    """Settings of plugins may be passwords, and their file may be readable by root only."""
    own = value.key.startswith("plugins.") and not value.key.endswith(".enabled")
    return msgspec.structs.replace(value, value=_FOR_ADMINS) if own else value


def _author(peer: Peer) -> str:
    try:
        return pwd.getpwuid(peer.identity.uid).pw_name
    except KeyError:
        return f"uid {peer.identity.uid}"


def _sort_key(sort: str) -> Callable[[api.ExecutionView], tuple[object, ...]]:
    order = {state: i for i, state in enumerate(_STATE_ORDER)}
    keys: dict[str, Callable[[api.ExecutionView], tuple[object, ...]]] = {
        "name": lambda v: (v.name,),
        "state": lambda v: (order.get(v.state, len(order)), v.name),
        "rate": lambda v: (-(v.progress.bytes_per_s or 0.0),),
        "eta": lambda v: (v.progress.seconds_remaining is None, v.progress.seconds_remaining or 0.0),
    }
    if sort not in keys:
        raise InvalidInput(f"cannot sort by {sort!r}", hint=f"sort by created, {', '.join(keys)}")
    return keys[sort]
