"""Answers that are put together from several calls of the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
import trio

from migmond.domain import api
from migmond.domain.alert_api import AlertsParams
from migmond.domain.history import HistoryParams, SeriesSelector
from migmond.domain.samples import SamplesParams
from migmond.domain.states import LIVE_EXECUTION_STATES, ExecutionState
from migmond_web.answers import Refused

Call = Callable[[str, Any], Awaitable[dict[str, Any]]]

ENDED_SHOWN = 10
POINTS = 600
"""As many as a chart has columns (design page UX)."""
SPANS_S: Mapping[str, float] = {"15m": 900.0, "1h": 3600.0, "6h": 21_600.0, "24h": 86_400.0}
_LIVE = tuple(sorted(s.value for s in (*LIVE_EXECUTION_STATES, ExecutionState.DRAINED)))
_WANTED = {
    "cpu": "migmond_cpu_busy_ratio",
    "memory_used": "migmond_memory_used_bytes",
    "memory_size": "migmond_memory_size_bytes",
    "disk_busy": "migmond_disk_busy_ratio",
    "disk_bytes": "migmond_disk_bytes_total",
    "temperature": "migmond_disk_temperature_celsius",
    "available": "migmond_filesystem_available_bytes",
    "size": "migmond_filesystem_size_bytes",
    "read_only": "migmond_filesystem_read_only",
}
SMALLEST = 1 << 30
"""A file system that is smaller is of no interest unless a migration touches it: boot partitions, sockets, seals."""
_RUN = tuple(
    f"migmond_execution_{name}"
    for name in (
        "bytes_total", "entries_total", "failed_entries_total", "cpu_seconds_total", "read_bytes_total",
        "written_bytes_total", "remaining_seconds", "remaining_low_seconds", "remaining_high_seconds", "movers",
    )
)  # fmt: skip


async def overview(call: Call, *, executions: bool = True) -> dict[str, Any]:
    """Return what the first page shows: live migrations, worst first, the last that ended, the machine, alerts.

    What cannot be had is null; the page says so there, and shows the rest.

    Args:
        executions: tell of migrations, too; else only how many are live.
    """
    found: dict[str, Any] = {}

    async def ask(name: str, method: str, params: Any) -> None:
        try:
            found[name] = await call(method, params)
        except Refused as e:
            if e.status == 401:
                raise
            found[name] = None

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "live", "execution.list", api.ListParams(_LIVE, sort="state", limit=200))
            if executions:
                nursery.start_soon(ask, "all", "execution.list", api.ListParams(limit=200))
            nursery.start_soon(ask, "status", "system.status", api.Nothing())
            nursery.start_soon(ask, "alerts", "alerts.list", AlertsParams())
            nursery.start_soon(ask, "samples", "metrics.latest", SamplesParams("migmond_"))
    except* Refused as group:
        raise group.exceptions[0] from None
    live, everything = found["live"] or {}, found.get("all") or {}
    ended = [v for v in everything.get("executions", []) if v["state"] not in _LIVE]
    samples = (found["samples"] or {}).get("samples")
    told = {
        "executions": live.get("executions", []),
        "ended": ended[:ENDED_SHOWN],
        "total": everything.get("total", 0),
    }
    return {
        "active_migrations": live.get("total", 0),
        **(told if executions else {}),
        "system": None if samples is None else machine(samples, _touched(live.get("executions", []))),
        "scores": scores(samples or ()),
        "alerts": found["alerts"],
        "status": found["status"],
    }


def scores(samples: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return how well migrations use their time, 0 to 1, by id, of those of which it is known."""
    return {
        s["labels"]["execution"]: s["value"]
        for s in samples
        if s["metric"] == "migmond_execution_score_ratio" and s["value"] is not None
    }


def _touched(executions: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the paths that live migrations read and write."""
    return frozenset(path for view in executions for path in (*view["sources"], view["destination"]))


def machine(samples: Iterable[Mapping[str, Any]], touched: Collection[str] = ()) -> dict[str, Any]:
    """Return the newest figures of the machine, each null when nobody knows it.

    `disk_bytes`: what all disks have read and written since they were there; a page makes rates of two of them.

    Args:
        touched: paths that migrations are busy with: their file systems count, however small.
    """
    by: dict[str, list[tuple[float, Mapping[str, str], str]]] = {}
    for sample in samples:
        if sample["value"] is not None:
            by.setdefault(sample["metric"], []).append((sample["value"], sample["labels"], sample["at"]))

    def of(name: str) -> list[tuple[float, Mapping[str, str], str]]:
        return by.get(_WANTED[name], [])

    def most(name: str) -> dict[str, Any] | None:
        values = of(name)
        if not values:
            return None
        value, labels, _ = max(values, key=lambda v: v[0])
        return {"value": value, "of": labels.get("device") or next(iter(labels.values()), "")}

    def by_mount(name: str) -> dict[str, float]:
        return {labels.get("mount", ""): value for value, labels, _ in of(name)}

    cpus = [value for value, _, _ in of("cpu")]
    used, size = of("memory_used"), of("memory_size")
    disks: dict[str, float] = {}
    for value, labels, _ in of("disk_bytes"):
        disks[labels.get("direction", "")] = disks.get(labels.get("direction", ""), 0.0) + value
    return {
        "cpu_ratio": sum(cpus) / len(cpus) if cpus else None,
        "memory_used_bytes": used[0][0] if used else None,
        "memory_size_bytes": size[0][0] if size else None,
        "busiest_disk": most("disk_busy"),
        "hottest_disk": most("temperature"),
        "least_available": _least(by_mount("available"), by_mount("size"), by_mount("read_only"), touched),
        "disk_read_bytes": disks.get("read"),
        "disk_written_bytes": disks.get("write"),
        "as_of": max((at for values in by.values() for _, _, at in values), default=None),
    }


def _least(
    available: Mapping[str, float], size: Mapping[str, float], read_only: Mapping[str, float], touched: Collection[str]
) -> dict[str, Any] | None:
    """Return which file system has the least room, of those that can be written to and are of any interest."""
    busy = {mount for path in touched if (mount := _mount_of(path, available)) is not None}
    rooms = [
        (room, mount)
        for mount, room in available.items()
        if not read_only.get(mount) and (mount in busy or size.get(mount, 0.0) >= SMALLEST)
    ]
    return {"value": min(rooms)[0], "of": min(rooms)[1]} if rooms else None


def _mount_of(path: str, mounts: Iterable[str]) -> str | None:
    """Return the mount that a path is below, None when none of them is."""
    above = [m for m in mounts if m == path or path.startswith(m.rstrip("/") + "/")]
    return max(above, key=len, default=None)


async def performance(call: Call, execution: str, time_range: str) -> dict[str, Any]:
    """Return how a migration performs and what was measured of it over `time_range`, one of SPANS_S.

    Raises:
        Refused: as `call` does.
    """
    session = await call("execution.session", api.ExecutionParams(execution))
    id_ = session["execution"]["id"]
    select = tuple(SeriesSelector(name, {"execution": id_}) for name in _RUN)
    asked = HistoryParams(select, span_s=SPANS_S[time_range], points=POINTS, annotations=True)
    try:
        history: dict[str, Any] | None = await call("history.query", asked)
    except Refused as e:
        if e.status not in (422, 503):
            raise
        history = None  # nothing is recorded
    return {"session": session, "time_range": time_range, "history": msgspec.to_builtins(history)}
