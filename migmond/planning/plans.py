"""A plan that came from outside becomes a Plan, or a clear error; and back."""

from __future__ import annotations

import os
from collections.abc import Iterator

from migmond.domain import api
from migmond.domain.errors import InvalidInput, NotPermitted, PlanInfeasible, about
from migmond.domain.identity import Peer, Role
from migmond.domain.limits import MAX_INTEGER, Limits
from migmond.domain.names import from_outside, to_text
from migmond.domain.plan import Plan, Source
from migmond.domain.units import show_size
from migmond.planning.allowances import LEAST_MEMORY_BYTES
from migmond.planning.selection import selector_of
from migmond.planning.timetable import parse_timetable

MAX_WORKERS = 256
MAX_SOURCES = 1000
MAX_PATH_BYTES = 4095
"""The kernel takes no longer ones."""
MAX_PLAN_BYTES = 256 * 1024
"""Paths, patterns and names of a plan together: they are part of every view, event and journal row of an execution."""
MAX_NAME = 200
MAX_REASON = 1000


def plan_of(spec: api.PlanSpec, peer: Peer) -> Plan:
    """Parse `spec` as asked for by `peer`.

    Raises:
        InvalidInput: relative or empty paths, control of `into`, limits or workers out of range, bad selector.
        PlanInfeasible: a source equals or contains another, or the destination, by name alone
            (movers compare by device and inode as well).
        NotPermitted: a privileged plan by somebody who is no admin.
    """
    if spec.privileged and peer.role < Role.ADMIN:
        raise NotPermitted("only an admin may ask for a privileged migration", hint="leave out --privileged")
    if not 0 < len(spec.sources) <= MAX_SOURCES:
        raise InvalidInput(
            f"a plan has 1 to {MAX_SOURCES} sources, not {len(spec.sources)}",
            hint="name a directory above them",
            field="sources",
        )
    if spec.workers is not None and not 0 < spec.workers <= MAX_WORKERS:
        raise InvalidInput(
            f"workers is 1 to {MAX_WORKERS}, not {spec.workers}", hint="leave it out for one per core", field="workers"
        )
    with about("limits"):
        check_limits(spec.limits)
    _check_volume(spec)
    sources = tuple(_source(i, s) for i, s in enumerate(spec.sources))
    with about("destination"):
        destination = absolute_path(spec.destination, "destination")
    refuse_overlaps(sources, destination)
    with about("selector"):
        selector = selector_of(spec.selector)
    return Plan(
        name=_name(spec, sources[0]),
        sources=sources,
        destination=destination,
        operation=spec.operation,
        selector=selector,
        conflict=spec.conflict,
        verify=spec.verify,
        limits=spec.limits,
        one_file_system=spec.one_file_system,
        privileged=spec.privileged,
        workers=spec.workers,
        reflink=spec.reflink,
    )


def spec_of(plan: Plan) -> api.PlanSpec:
    """Return `plan` as it travels."""
    s = plan.selector
    return api.PlanSpec(
        sources=tuple(api.SourceSpec(to_text(x.path), to_text(x.into)) for x in plan.sources),
        destination=to_text(plan.destination),
        name=plan.name,
        operation=plan.operation,
        selector=api.SelectorSpec(
            include=s.include,
            exclude=s.exclude,
            under=to_text(s.under),
            larger_than=s.larger_than,
            smaller_than=s.smaller_than,
            newer_than=s.newer_than,
            older_than=s.older_than,
            types=s.types,
            states=s.states,
            errors=s.errors,
        ),
        conflict=plan.conflict,
        verify=plan.verify,
        limits=plan.limits,
        one_file_system=plan.one_file_system,
        privileged=plan.privileged,
        workers=plan.workers,
        reflink=plan.reflink,
    )


def _source(position: int, spec: api.SourceSpec) -> Source:
    with about(f"sources[{position}].path"):
        path = absolute_path(spec.path, "source")
    with about(f"sources[{position}].into"):
        return Source(path, _relative(spec.into))


def _target(destination: bytes, source: Source) -> bytes:
    return os.path.join(destination, source.into) if source.into else destination


def check_limits(limits: Limits) -> None:
    """Refuse limits that cannot be meant.

    Raises:
        InvalidInput: one is not above 0, too little to work with, or the timetable is none.
    """
    for name in ("cpu_percent", "memory_bytes", "io_bytes_per_s", "io_ops_per_s", "network_bytes_per_s"):
        value = getattr(limits, name)
        if value is not None and not 0 < value < MAX_INTEGER:
            hint = "leave it out for unlimited; to stop, use pause"
            raise InvalidInput(f"limit {name} is {value}", hint=hint, field=name)
    if limits.memory_bytes is not None and limits.memory_bytes < LEAST_MEMORY_BYTES:
        least = show_size(LEAST_MEMORY_BYTES)
        raise InvalidInput(
            f"limit memory_bytes is {limits.memory_bytes}",
            hint=f"movers cannot do with less than {least}",
            field="memory_bytes",
        )
    with about("timetable"):
        parse_timetable(limits.timetable)


def _check_volume(spec: api.PlanSpec) -> None:
    s = spec.selector
    texts = [spec.destination, spec.name, s.under, *s.include, *s.exclude, *s.types, *s.states, *s.errors]
    size = sum(map(len, texts)) + sum(len(x.path) + len(x.into) for x in spec.sources)
    if size > MAX_PLAN_BYTES:
        raise InvalidInput(
            f"a plan of {size:,} characters, the limit is {MAX_PLAN_BYTES:,}", hint="use wildcards, or several plans"
        )


def absolute_path(text: str, what: str) -> bytes:
    """Return path text as the path that it is.

    Args:
        what: what it is called in an error.

    Raises:
        InvalidInput: it is relative, contains `..` or a zero byte, or is too long.
    """
    path = from_outside(text)
    if b"\0" in path:
        raise InvalidInput(f"{what} {text!r} contains a zero byte", hint="no file name can")
    if not path.startswith(b"/"):
        raise InvalidInput(f"{what} {text!r} is not absolute", hint="give the full path, starting with /")
    if len(path) > MAX_PATH_BYTES:
        raise InvalidInput(f"{what} {text[:40]!r}… has {len(path):,} bytes", hint=f"the limit is {MAX_PATH_BYTES:,}")
    if b".." in path.split(b"/"):
        # What it means depends on symlinks, which only the caller can follow: nothing here may look at files.
        raise InvalidInput(f"{what} {text!r} contains ..", hint="give the path that it stands for")
    return os.path.normpath(b"/" + path.lstrip(b"/"))  # normpath keeps two slashes at the beginning


def _relative(text: str) -> bytes:
    path = from_outside(text)
    parts = path.split(b"/") if path else []
    if b"\0" in path or any(p in {b"", b".", b".."} for p in parts):
        raise InvalidInput(f"into {text!r} is not a plain path below the destination", hint="write e.g. photos/2024")
    if len(path) > MAX_PATH_BYTES:
        raise InvalidInput(f"into {text[:40]!r}… has {len(path):,} bytes", hint=f"the limit is {MAX_PATH_BYTES:,}")
    return path


def refuse_overlaps(sources: tuple[Source, ...], destination: bytes) -> None:
    """Raise PlanInfeasible when sources overlap, or one of them and its target.

    Look every path's parents up, rather than compare each with each: that takes seconds for MAX_SOURCES."""
    paths: set[bytes] = set()
    targets: set[bytes] = set()
    for source in sources:
        target = _target(destination, source)
        if source.path in paths:
            raise PlanInfeasible(
                f"source {to_text(source.path)} and source {to_text(source.path)} overlap",
                hint="leave the inner one out",
            )
        if target in targets:
            raise PlanInfeasible(f"two sources go to {to_text(target)}", hint="give them different `into`")
        paths.add(source.path)
        targets.add(target)
    for path in paths:
        for parent in _parents(path):
            if parent in paths:
                raise PlanInfeasible(
                    f"source {to_text(parent)} and source {to_text(path)} overlap", hint="leave the inner one out"
                )
    for target in targets:
        if target in paths:
            raise PlanInfeasible("source and destination are the same", path=target, hint="choose another destination")
        for parent in _parents(target):
            if parent in paths:
                raise PlanInfeasible(
                    f"destination {to_text(target)} lies inside source {to_text(parent)}",
                    hint="choose a destination outside the source",
                )


def _parents(path: bytes) -> Iterator[bytes]:
    """Yield every directory above an absolute path, the root last."""
    while path != b"/":
        path = path[: path.rindex(b"/")] or b"/"
        yield path


def _name(spec: api.PlanSpec, source: Source) -> str:
    return checked_name(spec.name or to_text(os.path.basename(source.path.rstrip(b"/")))[:MAX_NAME] or "root")


def checked_name(name: str) -> str:
    """Return `name` if it may stand in a list, a log line and a terminal.

    Raises:
        InvalidInput: it is too long or has unprintable characters.
    """
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput(
            f"name {name[:40]!r} is too long or not printable",
            hint=f"use at most {MAX_NAME} plain characters",
            field="name",
        )
    return name


def checked_reason(reason: str) -> str:
    """Return `reason` if it may stand in a view, an event and a terminal.

    Raises:
        InvalidInput: it is too long or has unprintable characters.
    """
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise InvalidInput(
            f"reason {reason[:40]!r} is too long or not printable",
            hint=f"use one line of at most {MAX_REASON} characters",
            field="reason",
        )
    return reason
