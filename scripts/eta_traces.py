"""Traces of runs for scripts/eta-bench, and the files they are recorded in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from migmond.analytics.measures import Cost, Shape, Tick


@dataclass
class Trace:
    """One run. `last_action`: active seconds of the operator's last change of limits or workers."""

    name: str
    family: str
    shape: Shape
    history: list[Cost]
    ticks: list[Tick]
    end: float

    @property
    def last_action(self) -> float:
        changed = 0.0
        for before, now in pairwise(self.ticks):
            if before.limit != now.limit or before.workers != now.workers:
                changed = now.t
        return changed


class Malformed(Exception):
    """A file is not a trace; the message says which line and why."""


def written(trace: Trace) -> str:
    """Return a trace as JSON lines."""
    s = trace.shape
    head: dict[str, Any] = {"n_files": s.files, "n_bytes": s.bytes, "src": s.source, "dst": s.target}
    head |= {"transport": s.transport, "workers": s.workers, "history": [{"a": c.a, "b": c.b} for c in trace.history]}
    lines = [head]
    lines += [
        {"t": x.t, "bytes": x.bytes, "files": x.files, "workers": x.workers, "limit": x.limit} for x in trace.ticks
    ]
    lines.append({"end": trace.end})
    return "".join(json.dumps(line) + "\n" for line in lines)


def read(path: Path) -> Trace:
    """Return a recorded trace.

    Raises:
        Malformed: it is none.
    """
    with open(path, "rb") as f:
        lines = list(_objects(path.name, f.read()))
    if len(lines) < 2:
        raise Malformed(f"{path.name}: a header and a last line with `end` are needed")
    (first, head), (last, tail) = lines[0], lines[-1]
    where = f"{path.name}, line {first}"
    if "n_files" not in head and "n_bytes" not in head:
        raise Malformed(f"{where}: a header with `n_files` and `n_bytes` is expected first")
    files, size = _number(head, "n_files", where, missing=0.0), _number(head, "n_bytes", where, missing=0.0)
    history = [_cost(c, where) for c in _list(head, "history", where)]
    workers = int(_number(head, "workers", where, missing=1.0))
    source, target, transport = (str(head.get(k) or "") for k in ("src", "dst", "transport"))
    shape = Shape(int(files), int(size), source, target, transport, workers)
    if "end" not in tail:
        raise Malformed(f"{path.name}, line {last}: the last line must hold `end`")
    end = _number(tail, "end", f"{path.name}, line {last}")
    ticks: list[Tick] = []
    for number, line in lines[1:-1]:
        tick = _tick(line, f"{path.name}, line {number}", counted=head.get("n_files") is not None)
        if ticks and tick.t < ticks[-1].t:
            raise Malformed(f"{path.name}, line {number}: `t` goes back from {ticks[-1].t:g} to {tick.t:g}")
        ticks.append(tick)
    if ticks and end < ticks[-1].t:
        raise Malformed(f"{path.name}, line {last}: `end` {end:g} is before the last tick, {ticks[-1].t:g}")
    return Trace(path.name, "recorded", shape, history, ticks, end)


def _objects(name: str, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as e:
            raise Malformed(f"{name}, line {number}: no JSON: {e}") from None
        if not isinstance(found, dict):
            raise Malformed(f"{name}, line {number}: an object is expected")
        yield number, found


def _number(line: dict[str, Any], key: str, where: str, missing: float | None = None) -> float:
    value = line.get(key)
    if value is None and missing is not None:
        return missing
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise Malformed(f"{where}: `{key}` must be a number of at least 0, not {value!r}")
    return float(value)


def _list(line: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = line.get(key) or []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Malformed(f"{where}: `{key}` must be a list of objects")
    return value


def _cost(entry: dict[str, Any], where: str) -> Cost:
    cliff = entry.get("cliff_bytes")
    return Cost(
        _number(entry, "a", where, missing=0.0),
        _number(entry, "b", where, missing=0.0),
        None if cliff is None else _number(entry, "cliff_bytes", where),
        _number(entry, "slowdown", where, missing=1.0),
    )


def _tick(line: dict[str, Any], where: str, *, counted: bool) -> Tick:
    limit = _number(line, "limit", where, missing=0.0)
    planned = [None if line.get(k) is None else int(_number(line, k, where)) for k in ("n_files", "n_bytes")]
    return Tick(
        t=_number(line, "t", where),
        files=int(_number(line, "files", where, missing=0.0)) if counted else 0,
        bytes=int(_number(line, "bytes", where, missing=0.0)),
        workers=int(_number(line, "workers", where, missing=0.0)),
        limit=limit or None,
        planned_files=planned[0] if counted else None,
        planned_bytes=planned[1],
    )
