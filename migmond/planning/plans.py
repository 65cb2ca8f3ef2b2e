"""A plan that came from outside becomes a Plan, or a clear error; and back."""

from __future__ import annotations

import os

from migmond.domain import api
from migmond.domain.errors import InvalidInput, NotPermitted, PlanInfeasible
from migmond.domain.identity import Peer, Role
from migmond.domain.names import from_text, to_text
from migmond.domain.plan import Plan, Source
from migmond.planning.selection import selector_of

MAX_WORKERS = 256
MAX_SOURCES = 1000


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
        raise InvalidInput(f"a plan has 1 to {MAX_SOURCES} sources, not {len(spec.sources)}")
    if spec.workers is not None and not 0 < spec.workers <= MAX_WORKERS:
        raise InvalidInput(f"workers is 1 to {MAX_WORKERS}, not {spec.workers}")
    _check_limits(spec)
    sources = tuple(Source(_absolute(s.path, "source"), _relative(s.into)) for s in spec.sources)
    destination = _absolute(spec.destination, "destination")
    targets = [os.path.join(destination, s.into) if s.into else destination for s in sources]
    for source in sources:
        for target in targets:
            _refuse_overlap(source.path, target)
    for i, one in enumerate(sources):
        for other in sources[i + 1 :]:
            if _inside(one.path, other.path) or _inside(other.path, one.path):
                raise PlanInfeasible(
                    f"source {to_text(one.path)} and source {to_text(other.path)} overlap",
                    hint="leave the inner one out",
                )
            if _target(destination, one) == _target(destination, other):
                raise PlanInfeasible(
                    f"two sources go to {to_text(_target(destination, one))}", hint="give them different `into`"
                )
    return Plan(
        name=_name(spec, sources[0]),
        sources=sources,
        destination=destination,
        operation=spec.operation,
        selector=selector_of(spec.selector),
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


def _target(destination: bytes, source: Source) -> bytes:
    return os.path.join(destination, source.into) if source.into else destination


def _check_limits(spec: api.PlanSpec) -> None:
    limits = spec.limits
    for name in ("cpu_percent", "memory_bytes", "io_bytes_per_s", "io_ops_per_s", "network_bytes_per_s"):
        value = getattr(limits, name)
        if value is not None and value <= 0:
            raise InvalidInput(f"limit {name} is {value}", hint="leave it out for unlimited; to stop, use pause")
    for name in ("cpu_percent", "memory_bytes", "network_bytes_per_s", "timetable"):
        if getattr(limits, name):
            raise InvalidInput(
                f"limit {name} is not supported by this version", hint="use io_bytes_per_s or io_ops_per_s"
            )


def _absolute(text: str, what: str) -> bytes:
    path = from_text(text)
    if b"\0" in path:
        raise InvalidInput(f"{what} {text!r} contains a zero byte", hint="no file name can")
    if not path.startswith(b"/"):
        raise InvalidInput(f"{what} {text!r} is not absolute", hint="give the full path, starting with /")
    if b".." in path.split(b"/"):
        # What it means depends on symlinks, which only the caller can follow: nothing here may look at files.
        raise InvalidInput(f"{what} {text!r} contains ..", hint="give the path that it stands for")
    return os.path.normpath(path)


def _relative(text: str) -> bytes:
    path = from_text(text)
    parts = path.split(b"/") if path else []
    if b"\0" in path or any(p in {b"", b".", b".."} for p in parts):
        raise InvalidInput(f"into {text!r} is not a plain path below the destination", hint="write e.g. photos/2024")
    return path


def _inside(inner: bytes, outer: bytes) -> bool:
    return inner == outer or inner.startswith(outer.rstrip(b"/") + b"/")


def _refuse_overlap(source: bytes, target: bytes) -> None:
    if source == target:
        raise PlanInfeasible("source and destination are the same", path=source, hint="choose another destination")
    if _inside(target, source):
        raise PlanInfeasible(
            f"destination {to_text(target)} lies inside source {to_text(source)}",
            hint="choose a destination outside the source",
        )


def _name(spec: api.PlanSpec, source: Source) -> str:
    name = spec.name or to_text(os.path.basename(source.path.rstrip(b"/"))) or "root"
    if len(name) > 200 or not name.isprintable():
        raise InvalidInput(f"name {name[:40]!r} is too long or not printable", hint="use at most 200 plain characters")
    return name
