"""The alert action `exec`: run a hook program, contained and without rights."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable

import msgspec
import trio

from migmond.domain.errors import PluginError
from migmond.domain.units import parse_duration, parse_size
from migmond.plugin_api import ActionFailed, AlertActionSpec, AlertNotice, hookimpl
from migmond.plugin_api.notices import notice_json
from migmond_exec.running import ENDING_S, Answer, Request, delegated_group, run

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STARTING_S = 10.0
_USAGE = 64
"""EX_USAGE (sysexits.h): a program that ends so would never succeed."""
_SHOWN = 200


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set.

    Attributes:
        directories: where programs may lie; empty is /etc/migmond/hooks, and for a user's own daemon also
            ~/.config/migmond/hooks. Each program, and every directory above it, must be root's (or the user's own) and
            writable by nobody else; no part of its path may be a symlink.
        user: whose rights a program gets, with none of its groups but the first; never root. A user's own daemon has
            only the user's.
        time_limit: after that it is killed, with everything it has started. So is what it leaves behind.
        memory: address space of each of its processes.
        processes: how many it may have at a time.
        output: how much of what it says is kept for the log.
        environment: further variables for it.
    """

    directories: tuple[str, ...] = ()
    user: str = "nobody"
    time_limit: str = "30s"
    memory: str = "512MiB"
    processes: int = 64
    output: str = "64KiB"
    environment: dict[str, str] = {}


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes:
    argv: absolute path of the program, in one of the configured directories, and its arguments; no shell sees them.
    """

    argv: tuple[str, ...]


class Hooks:
    """Runs hook programs.

    Args:
        cgroup: control group in which one may be made for each run, "" for none.
    """

    def __init__(self, settings: SETTINGS, cgroup: str) -> None:
        self._settings = settings
        self._directories = settings.directories or _directories()
        self._time_limit_s = parse_duration(settings.time_limit)
        self._memory_bytes = parse_size(settings.memory)
        self._output_bytes = parse_size(settings.output)
        self._cgroup = cgroup
        self._check()

    def _check(self) -> None:
        s = self._settings
        if not 0.1 <= self._time_limit_s <= 3600:
            raise PluginError(f"time_limit is {s.time_limit}: write 100ms to 1h")
        if not 16 << 20 <= self._memory_bytes <= 1 << 40:
            raise PluginError(f"memory is {s.memory}: write 16MiB or more")
        if not 0 <= self._output_bytes <= 64 << 10:
            raise PluginError(f"output is {s.output}: write 64KiB at most")
        if not 1 <= s.processes <= 10_000:
            raise PluginError(f"processes is {s.processes}: write 1 to 10000")
        if bad := [d for d in self._directories if not _plain(d)]:
            raise PluginError(f"directories: {bad[0]!r} is no absolute path")
        if bad := [n for n, v in s.environment.items() if not n or "=" in n or "\0" in n + v]:
            raise PluginError(f"environment: {bad[0]!r} is no name of a variable")

    @property
    def deadline_s(self) -> float:
        """After that a run was not ended by anybody, neither by its supervisor nor by us."""
        return self._time_limit_s + _STARTING_S + 2 * ENDING_S

    def check(self, parameters: Parameters) -> str:
        """Return why a program will never be run, "" when it may be."""
        argv = parameters.argv
        if not argv or not _plain(argv[0]):
            return "argv begins with the absolute path of a program"
        if any("\0" in argument for argument in argv):
            return "argv holds a NUL character"
        if not any(argv[0].startswith(f"{d.rstrip('/')}/") for d in self._directories):
            return f"{argv[0]} is not in {' or '.join(self._directories)} (plugins.exec.directories)"
        return ""

    async def act(self, notice: AlertNotice, parameters: Parameters) -> str | None:
        """Run a program; returns what it said."""
        argv = parameters.argv
        if why := self.check(parameters):
            raise ActionFailed(why, final=True)
        uid, gid = await trio.to_thread.run_sync(self._identity)
        request = Request(
            argv,
            os.geteuid(),
            self._environment(notice, argv[0]),
            notice_json(notice).decode(),
            uid,
            gid,
            self._time_limit_s,
            self._memory_bytes,
            self._settings.processes,
            self._output_bytes,
            self._cgroup,
        )
        with trio.move_on_after(self._time_limit_s + _STARTING_S):
            return self._judged(argv[0], await run(request))
        raise ActionFailed(f"{argv[0]} could not be run: the machine did not come to it in time")

    def _judged(self, program: str, answer: Answer) -> str | None:
        said = answer.output + (f"\n({answer.dropped:,} more bytes)" if answer.dropped else "")
        if answer.refused:
            raise ActionFailed(answer.refused)
        if answer.code == 0:
            return said or None
        if answer.timed_out:
            why = f"was killed after {self._settings.time_limit}"
        elif answer.signal is not None:
            why = f"was ended by signal {answer.signal}"
        else:
            why = f"ended with {answer.code}"
        last = answer.output.strip().rpartition("\n")[2][:_SHOWN]
        raise ActionFailed(f"{program} {why}{f': {last}' if last else ''}", final=answer.code == _USAGE, said=said)

    def _identity(self) -> tuple[int, int]:
        """Whose rights a program gets; looked up each time, as users come and go. May block."""
        if os.geteuid() != 0:
            return os.geteuid(), os.getegid()
        try:
            found = pwd.getpwnam(self._settings.user)
        except KeyError as e:
            raise ActionFailed(f"there is no user {self._settings.user!r} (plugins.exec.user)") from e
        if found.pw_uid == 0 or found.pw_gid == 0:
            raise ActionFailed(f"{self._settings.user} has root's rights: plugins.exec.user must be somebody else")
        return found.pw_uid, found.pw_gid

    def _environment(self, notice: AlertNotice, program: str) -> dict[str, str]:
        told = {
            "MIGMOND_HOOK": program,
            "MIGMOND_DELIVERY": notice.delivery,
            "MIGMOND_ALERT": notice.alert,
            "MIGMOND_RULE": notice.rule,
            "MIGMOND_SEVERITY": notice.severity,
            "MIGMOND_STATE": "firing" if notice.firing else "resolved",
            "MIGMOND_EXECUTION": notice.execution,
            "MIGMOND_DEVICE": notice.device,
        }
        shown = {name: value.replace("\0", "") for name, value in told.items()}
        return {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": "/", **self._settings.environment, **shown}


def _plain(path: str) -> bool:
    return path.startswith("/") and path == os.path.normpath(path) and not path.startswith("//") and "\0" not in path


def _directories() -> tuple[str, ...]:
    if os.geteuid() == 0:
        return ("/etc/migmond/hooks",)
    own = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return ("/etc/migmond/hooks", os.path.join(own, "migmond", "hooks"))


@hookimpl
def migmond_alert_actions(settings: SETTINGS) -> Iterable[AlertActionSpec]:
    """Register the action `exec`."""
    hooks = Hooks(settings, delegated_group())
    return [
        AlertActionSpec(
            "exec",
            "Run a program with the alert as JSON on its standard input, without rights and with a time limit.",
            Parameters,
            hooks.act,
            hooks.deadline_s,
            hooks.check,
        )
    ]
