"""Looks a plan over without writing anything: can it work, how much is it, what stands in the way."""

from __future__ import annotations

from migmond.domain import api
from migmond.domain.entry import EntryType
from migmond.domain.errors import MoverError, NotPermitted, PlanInfeasible
from migmond.domain.identity import Identity
from migmond.domain.names import to_text
from migmond.domain.plan import Operation, Plan
from migmond.domain.states import Outcome
from migmond.domain.task import Listing
from migmond.domain.units import show_size
from migmond.engine.crew import open_mover
from migmond.engine.opening import fresh_opening, roots_of
from migmond.engine.process import MoverProcess
from migmond.engine.settings import Surroundings
from migmond.planning.selection import Candidate, Matcher
from migmond.wire.items import RootInfo, ScanDirectory, TargetFacts
from migmond.wire.mover import Open, Opened, OpenFailed, Probe, Probed, Scan, ScanFailed, ScanFinished, Scanned


class _Count:
    """What the walk has seen so far."""

    def __init__(self, plan: Plan, now_wall: float) -> None:
        self._matcher = Matcher(plan.selector, now_wall)
        self._paths: dict[int, bytes] = {i + 1: b"" for i in range(len(plan.sources))}
        self.directories = self.files = self.entries = self.bytes = 0
        self.mounts = self.unreadable = 0
        self._seen_links: set[tuple[int, int]] = set()

    def take(self, listing: Listing) -> None:
        prefix = self._paths.get(listing.directory, b"")
        if listing.complete:
            self._paths.pop(listing.directory, None)
        for position, entry in enumerate(listing.entries):
            path = prefix + b"/" + entry.name if prefix else entry.name
            if listing.outcomes.get(position) is Outcome.OTHER_FILE_SYSTEM:
                self.mounts += 1
            if position in listing.outcomes:  # not to be migrated, whatever the selector says
                continue
            if entry.type is EntryType.DIRECTORY:
                self._paths[listing.first + position] = path
                self.directories += 1
                self.entries += 1
                continue
            if not self._matcher.picks(Candidate(path, entry.type, entry.size, entry.mtime_ns)):
                continue
            self.entries += 1
            if entry.type is EntryType.FILE:
                self.files += 1
                if entry.links == 1 or (listing.device, entry.inode) not in self._seen_links:
                    self.bytes += entry.size
                if entry.links > 1:
                    self._seen_links.add((listing.device, entry.inode))


async def check_plan(surroundings: Surroundings, plan: Plan, identity: Identity) -> api.PlanVerdict:
    """Walk the plan's sources and look at its targets, under `identity`.

    Raises:
        MoverError: no mover could be started, or it died.
    """
    started = surroundings.clock.monotonic()
    opening = fresh_opening("0" * 12, plan, surroundings.settings)
    opening = Open(opening.roots, opening.options, make_targets=False)
    try:
        process, opened = await open_mover(0, identity, opening)
    except (PlanInfeasible, NotPermitted) as e:
        return _verdict(plan, (), _Count(plan, 0.0), (), [api.Finding("blocker", e.kind, e.message, e.hint)], 0.0)
    try:
        count = _Count(plan, surroundings.clock.wall())
        await process.send(Probe())
        facts = await process.receive()
        if isinstance(facts, OpenFailed):
            raise MoverError(facts.message, hint=facts.hint)
        if not isinstance(facts, Probed):
            raise MoverError("a mover ended while it looked at the destination")
        await _walk(process, opened, count)
    finally:
        await process.end()
    findings = _findings(plan, opened.roots, facts.targets, count)
    elapsed = surroundings.clock.monotonic() - started
    return _verdict(plan, opened.roots, count, facts.targets, findings, elapsed)


async def _walk(process: MoverProcess, opened: Opened, count: _Count) -> None:
    directories = tuple(
        ScanDirectory(i + 1, i, b"") for i, root in enumerate(opened.roots) if root.type is EntryType.DIRECTORY
    )
    for root in opened.roots:
        count.entries += 1
        if root.type is EntryType.DIRECTORY:
            count.directories += 1
        else:
            count.files += root.type is EntryType.FILE
            count.bytes += root.size if root.type is EntryType.FILE else 0
    if not directories:
        return
    await process.send(Scan(directories, len(opened.roots) + 1, last=True))
    while (message := await process.receive()) is not None:
        match message:
            case Scanned():
                for listing in message.listings:
                    count.take(listing)
            case ScanFailed():
                count.unreadable += 1
            case ScanFinished():
                return
            case _:
                raise MoverError(f"a scanning mover said {type(message).__name__}")
    raise MoverError("a mover ended in the middle of the scan")


def _renames(plan: Plan, roots: tuple[RootInfo, ...]) -> bool:
    return plan.operation is Operation.MOVE and all(r.source_device == r.target_device for r in roots)


def _findings(
    plan: Plan, roots: tuple[RootInfo, ...], targets: tuple[TargetFacts, ...], count: _Count
) -> list[api.Finding]:
    found: list[api.Finding] = []

    def add(severity: str, kind: str, message: str, hint: str = "") -> None:
        found.append(api.Finding(severity, kind, message, hint))

    for spec, facts in zip(roots_of(plan), targets, strict=True):
        where = to_text(spec.target)
        if facts.read_only:
            add("blocker", "read_only", f"{where} is on a read-only file system", "remount it, or choose another")
        elif not facts.writable:
            add("blocker", "not_writable", f"{where} is not writable for you", "run it as a user who may write there")
    if not _renames(plan, roots) and targets:
        free, inodes = targets[0].free_bytes, targets[0].free_inodes
        if count.bytes > free:
            add("blocker", "space", f"{show_size(count.bytes - free)} short: {show_size(free)} free",
                "make room, choose another destination, or migrate less (--include, --exclude)")  # fmt: skip
        if 0 < inodes < count.entries:
            add("blocker", "inodes", f"{count.entries - inodes:,} inodes short", "choose another destination")
    if not plan.selector.selects_all and count.entries == count.directories:
        add("warning", "selection", "the selector picks nothing", "check --include, --exclude and the other flags")
    if count.unreadable:
        add("warning", "unreadable", f"{count.unreadable:,} directories cannot be read",
            "run it as a user who may read them")  # fmt: skip
    if count.mounts:
        add("warning", "mount_points", f"{count.mounts:,} mount points below the source are left out",
            "--cross-mounts takes them along")  # fmt: skip
    if any(r.target_exists for r in roots):
        add("ok", "target_exists", f"the destination exists; conflicts: {plan.conflict.value}")
    return found


def _verdict(
    plan: Plan,
    roots: tuple[RootInfo, ...],
    count: _Count,
    targets: tuple[TargetFacts, ...],
    findings: list[api.Finding],
    elapsed_s: float,
) -> api.PlanVerdict:
    same = bool(roots) and all(r.source_device == r.target_device for r in roots)
    method = "rename" if _renames(plan, roots) and roots else ("reflink?" if same and plan.reflink else "copy")
    return api.PlanVerdict(
        feasible=not any(f.severity == "blocker" for f in findings),
        entries=count.entries,
        files=count.files,
        directories=count.directories,
        bytes=count.bytes,
        method=method,
        free_bytes=targets[0].free_bytes if targets else None,
        free_inodes=targets[0].free_inodes if targets else None,
        findings=tuple(findings),
        seconds_elapsed=elapsed_s,
    )
