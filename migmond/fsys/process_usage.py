"""What our own movers take, from /proc/PID.

One process costs 60 µs, and 25 for each of its threads. Figures that we may not see are NoData each: /proc/PID/io is
for whoever may trace the process (ptrace(2)), which without CAP_SYS_PTRACE is nobody but the user of the mover.
"""

from __future__ import annotations

import os

import msgspec

from migmond.domain.samples import NoData

_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a disk",
    "T": "stopped",
    "t": "traced",
    "Z": "ended",
    "X": "ended",
    "I": "idle",
}
"""proc_pid_stat(5), field 3."""
_STATE, _USER_TICKS, _SYSTEM_TICKS, _STARTED, _RESIDENT_PAGES = 0, 11, 12, 19, 21
"""Of the fields that follow the command's name, which may have spaces and brackets in it."""
GONE = NoData("the process has ended")
HIDDEN = NoData("/proc does not show it: ProtectProc=invisible, or hidepid, and no CAP_SYS_PTRACE")


Figure = float | NoData


class Usage(msgspec.Struct, frozen=True):
    """What one process, or all in a cgroup, have taken since they started.

    Attributes:
        cpu_s: processor time, seconds.
        resident_bytes: memory now.
        read_bytes, write_bytes: what went to and from disks; what the page cache served is not in it.
        given_up, taken_away: how often it gave the processor up to wait, and how often that was taken from it. Of the
            threads that it has now: the kernel shows no sum with those that have ended.
        state: in words, "" for a cgroup: `waiting for a disk`, which nothing can interrupt, when a thread of it does;
            else `running` when one does; else that of the first thread.
        started: when the process started, in ticks since the machine did; with the pid it is told from all others.
    """

    cpu_s: Figure
    resident_bytes: Figure
    read_bytes: Figure
    write_bytes: Figure
    given_up: Figure
    taken_away: Figure
    state: str = ""
    started: int = 0


def process_usage(pid: int, started: int = 0, proc: str = "/proc") -> Usage | NoData:
    """Return what a process has taken; NoData when it has ended, or is not to be seen.

    Args:
        started: `Usage.started` of an earlier look, so that another process that has got the pid is not taken for it;
            0 for whichever has the pid.
    """
    base = f"{proc}/{pid}"
    try:
        fields = _read(f"{base}/stat").rpartition(")")[2].split()
        began = int(fields[_STARTED])
    except (OSError, IndexError, ValueError):
        return HIDDEN if _lives(pid) else GONE
    if (started and began != started) or fields[_STATE] in "ZX":
        return GONE
    io = _pairs(f"{base}/io")
    given_up, taken_away, states = _threads(f"{base}/task")
    state = next((s for s in "DR" if s in states), fields[_STATE])
    ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return Usage(
        ticks / os.sysconf("SC_CLK_TCK"),
        float(int(fields[_RESIDENT_PAGES]) * os.sysconf("SC_PAGE_SIZE")),
        _figure(io, "read_bytes"),
        _figure(io, "write_bytes"),
        given_up,
        taken_away,
        _STATES.get(state, state),
        began,
    )


def _threads(tasks: str) -> tuple[Figure, Figure, set[str]]:
    """Return switches and states of all threads: what /proc/PID/status and stat say is of the first one alone."""
    given_up = taken_away = 0.0
    states: set[str] = set()
    try:
        threads = os.listdir(tasks)
    except OSError as e:
        return _uncounted(e), _uncounted(e), states
    for thread in threads:
        pairs = _pairs(f"{tasks}/{thread}/status")
        if not isinstance(pairs, NoData):  # else it has ended meanwhile
            given_up += float(pairs.get("voluntary_ctxt_switches", 0))
            taken_away += float(pairs.get("nonvoluntary_ctxt_switches", 0))
            states.add(pairs.get("State", ""))
    return given_up, taken_away, states


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _pairs(path: str) -> dict[str, str] | NoData:
    """Read lines of a name and a number."""
    try:
        lines = _read(path).splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return NoData("it is not counted here")
    except PermissionError:
        return NoData("it may not be seen: that takes CAP_SYS_PTRACE")
    except OSError as e:
        return NoData(e.strerror or str(e))
    return {f[0].rstrip(":"): f[1] for line in lines if len(f := line.split()) >= 2}


def _figure(pairs: dict[str, str] | NoData, name: str) -> Figure:
    if isinstance(pairs, NoData):
        return pairs
    value = pairs.get(name, "")
    return float(value) if value.isdigit() else NoData("the kernel does not tell")


def _uncounted(error: OSError | ValueError) -> NoData:
    return NoData(getattr(error, "strerror", None) or str(error))


def _read(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return (file.read(65536) or b"").decode("utf-8", "replace")
