"""What the doctor looks at beside the journal: plugins, machine code, room, the event loop."""

from __future__ import annotations

import os

from migmond.daemon.watchdog import Blocked
from migmond.domain import daemon_api
from migmond.domain.units import show_size
from migmond.fsys import machine_code

_BLOCKED_TOO_LONG_S = 0.5


def loop_check(blocked: Blocked) -> daemon_api.Check:
    """Return whether the event loop was blocked for long."""
    longest = f"{blocked.seconds * 1000:.0f} ms in the last minute, by {blocked.task or 'nobody'}"
    if blocked.seconds > _BLOCKED_TOO_LONG_S:
        return daemon_api.Check("event loop", "warning", f"was blocked for {longest}", "see the log")
    return daemon_api.Check("event loop", "ok", f"was blocked for {longest} at most")


def plugin_checks(plugins: tuple[daemon_api.PluginView, ...]) -> list[daemon_api.Check]:
    """Return what is wrong with plugins, or that nothing is."""
    bad = [p for p in plugins if p.state in ("invalid", "conflict", "quarantined")]
    checks = [
        daemon_api.Check(f"plugin {p.name}", "error", f"{p.state}: {p.reason}", "mend or disable it in conf.d")
        for p in bad
    ]
    return checks or [daemon_api.Check("plugins", "ok", f"{len(plugins)} loaded or disabled, none in trouble")]


def small_files_check(*, wanted: bool) -> daemon_api.Check:
    """Return what copies small files; `wanted`: the configuration asks for machine code."""
    if not wanted:
        return daemon_api.Check("small files", "ok", "copied by Python, as movers.machine_code says")
    if machine_code.built():
        return daemon_api.Check("small files", "ok", "copied by machine code")
    return daemon_api.Check(
        "small files",
        "warning",
        "copied by Python, which is slower: the machine code was not built, or from other sources than are installed",
        "apt-get install gcc libc6-dev, then install migmond again",
    )


def limits_check(no_groups: str) -> daemon_api.Check:
    """Return who keeps limits of processor time and memory. `no_groups`: why control groups do not, "" when they do."""
    if not no_groups:
        return daemon_api.Check("limits", "ok", "control groups keep limits of processor time and memory")
    kept = "movers keep to processor time by themselves, and as many run as fit into the memory"
    return daemon_api.Check("limits", "ok", f"{kept}: {no_groups}")


def space_check(directory: str) -> daemon_api.Check:
    """Return whether the journal's directory has room."""
    stat = os.statvfs(directory)
    free = stat.f_bavail * stat.f_frsize
    if free < 256 << 20:
        return daemon_api.Check("journal space", "error", f"{show_size(free)} left in {directory}", "make room there")
    return daemon_api.Check("journal space", "ok", f"{show_size(free)} free in {directory}")
