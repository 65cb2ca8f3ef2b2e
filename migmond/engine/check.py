"""Looks a plan over without writing anything: can it work, how much is it, what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from migmond.analytics.measures import Forecast, Unknown
from migmond.domain import api
from migmond.domain.errors import MoverError, NotPermitted, PlanInfeasible
from migmond.domain.execution import Tally
from migmond.domain.identity import Identity
from migmond.domain.plan import Plan
from migmond.domain.preflight import Promise, TargetFacts
from migmond.domain.preflight import Survey as Report
from migmond.engine.crew import open_mover, refused
from migmond.engine.forecasting import estimate
from migmond.engine.opening import fresh_opening, roots_of
from migmond.engine.process import MoverProcess
from migmond.engine.settings import Surroundings
from migmond.engine.turns import crew_of
from migmond.planning.verdict import Facts, judge, method_of, obstacles
from migmond.wire.from_mover import Opened, OpenFailed, Probed, Surveyed
from migmond.wire.to_mover import Probe, Survey


async def check_plan(
    surroundings: Surroundings, plan: Plan, identity: Identity, promises: Sequence[Promise] = ()
) -> api.PlanVerdict:
    """Walk the plan's sources and look at its targets, under `identity`.

    Args:
        promises: room that live executions have yet to fill.

    Raises:
        MoverError: no mover could be started, or it died.
        JournalError: what earlier runs took cannot be read.
    """
    started = surroundings.clock.monotonic()
    opening = fresh_opening("0" * 12, plan, surroundings)
    opening = msgspec.structs.replace(opening, make_targets=False)
    try:
        process, opened = await open_mover(surroundings.pool, 0, identity, opening)
        try:
            targets = await probe(process)
            survey = await _surveyed(process, Survey(plan.selector, surroundings.clock.wall()))
        finally:
            await process.end()
    except (PlanInfeasible, NotPermitted) as e:
        return _refused(plan, api.Finding("blocker", e.kind, e.message, e.hint))
    roots = opened.roots
    same = [r.source_device == r.target_device for r in roots]
    findings, accounts = judge(
        Facts(
            plan=plan,
            paths=tuple(r.target for r in roots_of(plan)),
            target_exists=tuple(r.target_exists for r in roots),
            target_empty=tuple(r.target_empty for r in roots),
            targets=targets,
            survey=survey,
            promises=tuple(promises),
            root=identity.uid == 0,
        )
    )
    findings += [_own_is_copied(own) for own in opened.own if own]
    method, workers = method_of(plan, same, targets), crew_of(plan, surroundings.settings)
    found: Forecast | Unknown = Unknown("")
    if method != "rename":
        found = await estimate(
            surroundings.journal, roots[0], Tally(survey.entries, survey.bytes), workers, plan.limits
        )
    told = found if isinstance(found, Forecast) else None
    return api.PlanVerdict(
        feasible=not any(f.severity == "blocker" for f in findings),
        entries=survey.entries,
        files=survey.files,
        directories=survey.directories,
        bytes=survey.bytes,
        method=method,
        free_bytes=targets[0].free_bytes,
        free_inodes=targets[0].free_inodes,
        findings=tuple(findings),
        seconds_elapsed=surroundings.clock.monotonic() - started,
        targets=tuple(accounts),
        estimate_s=told.remaining_s if told is not None else None,
        estimate_low_s=told.low_s if told is not None else None,
        estimate_high_s=told.high_s if told is not None else None,
        estimate_reason=found.reason if isinstance(found, Unknown) else "",
        workers=workers,
    )


async def _surveyed(process: MoverProcess, question: Survey) -> Report:
    await process.send(question)
    answer = await process.receive()
    if isinstance(answer, OpenFailed):
        raise refused(answer)
    if not isinstance(answer, Surveyed):
        raise MoverError("a mover ended while it looked at the source")
    return answer.report


async def probe(process: MoverProcess) -> tuple[TargetFacts, ...]:
    """Ask a mover that has just been opened for the figures of its targets.

    Raises:
        MoverError: it ended, or a target is another directory now.
    """
    await process.send(Probe())
    facts = await process.receive()
    if isinstance(facts, OpenFailed):
        raise MoverError(facts.message, hint=facts.hint)
    if not isinstance(facts, Probed):
        raise MoverError("a mover ended while it looked at the destination")
    return facts.targets


async def refuse_obstructed(process: MoverProcess, opened: Opened, plan: Plan) -> None:
    """Refuse what can be known at once about a plan that is to be started; it takes one question and no walk.

    Raises:
        PlanInfeasible: nothing can be written at a target.
        NotPermitted: nothing, by the asking user.
        MoverError: the mover ended.
    """
    empty = [r.target_empty for r in opened.roots]
    for finding in obstacles([r.target for r in roots_of(plan)], await probe(process), empty):
        if finding.severity == "blocker":
            kind = NotPermitted if finding.kind == "not_writable" else PlanInfeasible
            raise kind(finding.message, hint=finding.hint)


def _own_is_copied(own: str) -> api.Finding:
    message = f"the source holds {own}: it is in use, and a copy of it is worth nothing"
    return api.Finding(
        "warning", "own_state", message, "leave it out (--exclude); the daemon makes backups of its journal"
    )


def _refused(plan: Plan, finding: api.Finding) -> api.PlanVerdict:
    return api.PlanVerdict(
        feasible=False,
        entries=0,
        files=0,
        directories=0,
        bytes=0,
        method=method_of(plan, ()),
        free_bytes=None,
        free_inodes=None,
        findings=(finding,),
        seconds_elapsed=0.0,
    )
