"""A message bus of one's own with a logind on it that only remembers who holds which lock."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import trio
from jeepney import DBusAddress, Message, new_error, new_method_call, new_method_return
from jeepney.io.trio import DBusConnection, open_dbus_connection
from jeepney.low_level import HeaderFields, MessageType

CONFIGURATION = """<busconfig><type>custom</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>"""


class Logind:
    """Answers Inhibit.

    Attributes:
        address: of the bus.
        taken: what each lock that was ever given blocks, as whom, why and how.
        held: how many there are now.
        refuses, silent: how it answers from now on, if not with a lock.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.taken: list[tuple[str, ...]] = []
        self.held = 0
        self.asked = 0
        self.refuses = ""
        self.silent = False

    async def serve(self, connection: DBusConnection, nursery: trio.Nursery) -> None:
        while True:
            message = await connection.receive()
            header = message.header
            if header.message_type is MessageType.method_call and header.fields[HeaderFields.member] == "Inhibit":
                await self._inhibit(connection, message, nursery)

    async def _inhibit(self, connection: DBusConnection, message: Message, nursery: trio.Nursery) -> None:
        self.asked += 1
        if self.silent:
            return
        if self.refuses:
            await connection.send(new_error(message, self.refuses))
            return
        ours, theirs = os.pipe()
        self.taken.append(message.body)
        self.held += 1
        nursery.start_soon(self._watch, ours)
        try:
            await connection.send(new_method_return(message, "h", (theirs,)))
        finally:
            os.close(theirs)

    async def _watch(self, fd: int) -> None:
        async with trio.lowlevel.FdStream(fd) as stream:
            await stream.receive_some(1)  # until nobody holds the other end
            self.held -= 1


@contextlib.asynccontextmanager
async def logind(directory: Path) -> AsyncIterator[Logind]:
    """Start both; they end with the block."""
    socket, file = directory / "bus", directory / "bus.conf"
    file.write_text(CONFIGURATION.format(socket=socket))
    ready, theirs = os.pipe()
    arguments = ["dbus-daemon", "--nofork", f"--config-file={file}", f"--print-address={theirs}"]
    process = subprocess.Popen(arguments, pass_fds=(theirs,))
    os.close(theirs)
    try:
        with open(ready, "rb") as answer:
            assert answer.readline(), "dbus-daemon does not start"
        address = f"unix:path={socket}"
        bus = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
        async with await open_dbus_connection(address, enable_fds=True) as connection, trio.open_nursery() as nursery:
            async with connection.router() as router:
                name = ("org.freedesktop.login1", 0)
                await router.send_and_get_reply(new_method_call(bus, "RequestName", "su", name))
            it = Logind(address)
            nursery.start_soon(it.serve, connection, nursery)
            yield it
            nursery.cancel_scope.cancel()
    finally:
        process.terminate()
        process.wait()
