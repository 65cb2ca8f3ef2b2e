"""Keeps the machine awake while anything moves: by a lock of systemd-logind, which lasts as long as its descriptor is
open (org.freedesktop.login1(5), systemd's "Inhibitor Locks"): it ends with us, however we end.

Without D-Bus, logind or the right to do so, nothing is prevented, and the log says so once.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import trio

from migmond.domain.execution import Execution
from migmond.planning.awake import Wish, prevented

LOOK_S = 1.0
AGAIN_S = 60.0
"""So long after a failure it is tried again: a bus may come later, and another setting."""
ANSWER_S = 10.0
SYSTEM_BUS = "SYSTEM"


class NoSleepLock(Exception):
    """Sleep cannot be prevented; the message says why."""


@asynccontextmanager
async def held(what: str, why: str, bus: str = SYSTEM_BUS) -> AsyncIterator[None]:
    """Hold a lock that blocks `what`.

    Args:
        what: `sleep`, `idle` or `sleep:idle`.
        why: for people; everybody on the machine may read it.
        bus: address of the message bus, or SYSTEM_BUS.

    Raises:
        NoSleepLock: it was not given.
    """
    fd = await _taken(what, why, bus)
    try:
        yield
    finally:
        os.close(fd)


async def _taken(what: str, why: str, bus: str) -> int:
    try:
        from jeepney import DBusAddress, DBusErrorResponse, new_method_call  # an extra: most servers never sleep
        from jeepney.io.trio import open_dbus_connection
        from jeepney.low_level import HeaderFields
        from jeepney.wrappers import unwrap_msg
    except ImportError as e:
        raise NoSleepLock("jeepney is not installed: pip install 'migmond[sleep]'") from e
    logind = DBusAddress(
        "/org/freedesktop/login1", bus_name="org.freedesktop.login1", interface="org.freedesktop.login1.Manager"
    )
    call = new_method_call(logind, "Inhibit", "ssss", (what, "migmond", why, "block"))
    try:
        with trio.fail_after(ANSWER_S):
            async with await open_dbus_connection(bus, enable_fds=True) as connection:
                serial = next(connection.outgoing_serial)
                await connection.send(call, serial=serial)
                while True:  # no router: from here to whoever holds it nothing may be cancelled, or it is lost
                    reply = await connection.receive()
                    if reply.header.fields.get(HeaderFields.reply_serial) == serial:
                        (lock,) = unwrap_msg(reply)
                        return int(lock.to_raw_fd())
    except trio.TooSlowError as e:
        raise NoSleepLock(f"systemd-logind does not answer within {ANSWER_S:g} s") from e
    except DBusErrorResponse as e:
        raise NoSleepLock(f"systemd-logind refuses: {e.name}") from e
    except Exception as e:  # whatever a bus and its client do that is none, or goes away: nothing that moves needs it
        raise NoSleepLock(f"there is no message bus to ask: {_leaf(e)}") from e


def _leaf(error: BaseException) -> BaseException:
    return _leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class SleepLock:
    """Follows what is at work.

    Args:
        executions: returns all that are known.
        wish: returns what is wanted now.
        on_battery: whether the machine runs on its battery; None when that is not known.
        bus: see `held`.
    """

    def __init__(
        self,
        executions: Callable[[], Iterable[Execution]],
        wish: Callable[[], Wish],
        on_battery: Callable[[], bool | None],
        log: Callable[..., None],
        bus: str = SYSTEM_BUS,
    ) -> None:
        self._executions = executions
        self._wish = wish
        self._on_battery = on_battery
        self._log = log
        self._bus = bus
        self._said = ""

    def wanted(self) -> str:
        """Return what is to be prevented now, "" for nothing."""
        wish = self._wish()
        battery = None if wish.on_battery else self._on_battery()
        return prevented(self._executions(), wish, on_battery=battery)

    async def run(self) -> None:
        """Hold the lock whenever anything moves, until cancelled."""
        while True:
            what = self.wanted()
            if not what:
                await trio.sleep(LOOK_S)
                continue
            try:
                async with held(what, "files are being moved", self._bus):
                    self._said = ""
                    while self.wanted() == what:  # noqa: ASYNC110 (battery and configuration set no event)
                        await trio.sleep(LOOK_S)
            except NoSleepLock as e:
                if str(e) != self._said:
                    self._said = str(e)
                    self._log("the machine may fall asleep while files are moved", why=str(e))
                await trio.sleep(AGAIN_S)
