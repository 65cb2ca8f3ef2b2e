"""From the facts of a preflight to its findings. Pure: what was seen goes in, what it means comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from migmond.domain import api
from migmond.domain.names import to_text
from migmond.domain.plan import Operation, Plan
from migmond.domain.preflight import Promise, Sight, Survey, TargetFacts
from migmond.domain.units import show_size
from migmond.planning.filesystems import abilities_of, may_share
from migmond.planning.remarks import Case, Remark, kept, remarks
from migmond.planning.room import Room, rooms

_MAKE_ROOM = "make room, choose another destination, or migrate less (--include, --exclude)"
_FOR_MOUNTS = (b"/mnt/", b"/media/", b"/run/media/")
"""Below them other disks are mounted, by people or by desktops."""
_SEVERITIES = ("blocker", "warning", "ok")


class Facts(msgspec.Struct, frozen=True):
    """All that a verdict rests on.

    Attributes:
        paths: target path of each source.
        target_exists, target_empty: for each source; what does not exist is empty too.
        root: the movers are root's.
    """

    plan: Plan
    paths: tuple[bytes, ...]
    target_exists: tuple[bool, ...]
    target_empty: tuple[bool, ...]
    targets: tuple[TargetFacts, ...]
    survey: Survey
    promises: tuple[Promise, ...]
    root: bool


def judge(facts: Facts) -> tuple[list[api.Finding], list[api.TargetView]]:
    """Return the findings, the worst first, and the account of every file system written to."""
    accounts = rooms(facts.targets, [r.need for r in facts.survey.roots], facts.promises)
    findings = [
        *obstacles(facts.paths, facts.targets, facts.target_empty),
        *(f for room in accounts for f in _space(room, _path_of(facts, room))),
        *_selection(facts),
        *_remarks(facts),
    ]
    findings += _to_be_made(facts)
    if any(facts.target_exists):
        message = f"the destination exists; conflicts: {facts.plan.conflict.value}"
        findings.append(api.Finding("ok", "target_exists", message))
    findings.sort(key=lambda f: _SEVERITIES.index(f.severity))
    return findings, [_view(room, _path_of(facts, room)) for room in accounts]


def obstacles(paths: Sequence[bytes], targets: Sequence[TargetFacts], empty: Sequence[bool]) -> Iterator[api.Finding]:
    """Yield what makes writes at a target fail. A blocker makes all of them fail, whatever the sources have in them.

    Args:
        empty: for each target: nothing is in it, so that the first thing to be done is to make an entry there.
    """
    for path, facts, is_empty in zip(paths, targets, empty, strict=True):
        where = to_text(path)
        if facts.read_only:
            hint = "remount it for writing, or choose another destination"
            yield api.Finding("blocker", "read_only", f"{where} is on a read-only file system", hint)
        elif not facts.writable:
            hint, what = "run it as a user who may write there", f"{where} is not writable for you"
            if is_empty:
                yield api.Finding("blocker", "not_writable", what, hint)
            else:
                yield api.Finding("warning", "not_writable", f"{what}: only directories in it may be", hint)


def _to_be_made(facts: Facts) -> Iterator[api.Finding]:
    """Yield on which file system a target comes to be that is not there yet: of a stick that is not plugged in, or of
    a typing mistake, nothing else tells."""
    for path, target, exists in zip(facts.paths, facts.targets, facts.target_exists, strict=True):
        if exists or not target.mount_point:
            continue
        where = f"{to_text(target.mount_point)} ({target.file_system})"
        message = f"{to_text(path)} is not there yet: it is made on the file system at {where}"
        if any(path.startswith(d) and not target.mount_point.startswith(d) for d in _FOR_MOUNTS):
            yield api.Finding("warning", "not_mounted", message, "is the disk that belongs there mounted?")
        else:
            yield api.Finding("ok", "made", message)


def _path_of(facts: Facts, room: Room) -> bytes:
    return next(p for p, t in zip(facts.paths, facts.targets, strict=True) if t.device == room.facts.device)


def _space(room: Room, path: bytes) -> Iterator[api.Finding]:
    need, where = room.need, to_text(path)
    free = f"{show_size(room.facts.free_bytes)} free"
    if room.promised_bytes or room.rumoured_bytes:
        promised = show_size(room.promised_bytes + room.rumoured_bytes)
        free += f", {promised} of it promised to {_named(room.holders)}"
    if room.short_bytes:
        yield api.Finding("blocker", "space", f"{show_size(room.short_bytes)} short at {where}: {free}", _MAKE_ROOM)
    elif room.maybe_short_bytes:
        message = f"up to {show_size(room.maybe_short_bytes)} short at {where}: {free}"
        hint = "how much is needed shows when what is there already, shared or compressed is met"
        yield api.Finding("warning", "space", message, hint)
    elif room.holders and need.most_bytes:
        yield api.Finding("ok", "reservations", f"fits: {free}")
    if room.short_inodes:
        message = f"{room.short_inodes:,} inodes short at {where}: {room.facts.free_inodes:,} free"
        yield api.Finding("blocker", "inodes", message, "choose another destination, or pack small files first")
    for quota in room.facts.quotas:
        whose = f"your {quota.kind} quota"
        if quota.free_bytes is not None and need.most_bytes > quota.free_bytes:
            sure = need.least_bytes > quota.free_bytes
            short = show_size((need.least_bytes if sure else need.most_bytes) - quota.free_bytes)
            message = f"{'' if sure else 'up to '}{short} over {whose}: {show_size(quota.free_bytes)} left"
            yield api.Finding("blocker" if sure else "warning", "quota", message, "ask for a larger quota")
        if quota.free_inodes is not None and need.least_inodes > quota.free_inodes:
            message = f"{need.least_inodes - quota.free_inodes:,} files over {whose}: {quota.free_inodes:,} left"
            yield api.Finding("blocker", "quota", message, "ask for a larger quota")


def _named(holders: tuple[str, ...]) -> str:
    shown = ", ".join(holders[:3])
    return f"{shown} and {len(holders) - 3} more" if len(holders) > 3 else shown


def _selection(facts: Facts) -> Iterator[api.Finding]:
    if not facts.plan.selector.selects_all and facts.survey.entries == facts.survey.directories:
        hint = "check --include, --exclude and the other flags"
        yield api.Finding("warning", "selection", "the selector picks nothing", hint)


def _remarks(facts: Facts) -> Iterator[api.Finding]:
    """Say once what holds for several roots."""
    said: dict[tuple[Sight, Remark], tuple[int, str]] = {}
    preserved: dict[str, int] = {}
    for target, survey in zip(facts.targets, facts.survey.roots, strict=True):
        case = Case(facts.plan, target, abilities_of(target), survey, facts.root)
        for sight, remark in remarks(case):
            seen = survey.sights[sight]
            count, example = said.get((sight, remark), (0, to_text(seen.example)))
            said[sight, remark] = (count + seen.count, example)
        for name, number in kept(case):
            preserved[name] = preserved.get(name, 0) + number
    for (sight, remark), (count, example) in said.items():
        yield api.Finding(remark.severity, sight.value, remark.text(count), remark.hint, count, example)
    if preserved:
        names = ", ".join(f"{name} ({number:,})" for name, number in preserved.items())
        yield api.Finding("ok", "preserved", f"{names} preserved")


def _view(room: Room, path: bytes) -> api.TargetView:
    facts = room.facts
    return api.TargetView(
        path=to_text(path),
        file_system=facts.file_system,
        free_bytes=facts.free_bytes,
        free_inodes=facts.free_inodes if facts.total_inodes else None,
        need_bytes=room.need.least_bytes,
        need_bytes_most=room.need.most_bytes,
        need_inodes=room.need.least_inodes,
        promised_bytes=room.promised_bytes + room.rumoured_bytes,
        promised_to=room.holders,
        folding=abilities_of(facts).folding.value,
    )


def method_of(plan: Plan, same: Sequence[bool], targets: Sequence[TargetFacts] = ()) -> str:
    """Return `rename`, `reflink?` or `copy`.

    Args:
        same: for each source, whether its target is on its own file system.
        targets: what the file systems of the targets are.
    """
    if not same or not all(same):
        return "copy"
    if plan.operation is Operation.MOVE:
        return "rename"
    return "reflink?" if plan.reflink and any(may_share(t.file_system) for t in targets) else "copy"
