"""What `systemctl status` shows."""

from __future__ import annotations

import trio

from migmond.daemon.notify import Notifier
from migmond.domain.units import show_duration, show_rate
from migmond.engine.manager import Engine

_STATUS_S = 2.0


async def show_status(notifier: Notifier, engine: Engine) -> None:
    """Keep `systemctl status` true."""
    while True:
        notifier.status(status_line(engine))
        await trio.sleep(_STATUS_S)


def status_line(engine: Engine) -> str:
    """Return one line: the first live migrations with percent, rate and time left."""
    views = [engine.view(e) for e in engine.all() if engine.run_of(e.id) is not None]
    if not views:
        return "idle"
    parts = []
    for view in views[:3]:
        p = view.progress
        percent = "scanning" if p.percent_done is None else f"{p.percent_done:.0f} %"
        rate = "" if p.bytes_per_s is None else f", {show_rate(p.bytes_per_s)}"
        left = "" if p.seconds_remaining is None else f", {show_duration(p.seconds_remaining)} left"
        parts.append(f"{view.name} {view.state} {percent}{rate}{left}")
    more = f" and {len(views) - 3} more" if len(views) > 3 else ""
    return "; ".join(parts) + more
