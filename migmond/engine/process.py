"""One mover process: started, given somebody's identity, spoken to over an inherited socket, seen through its slot."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from pathlib import Path

import msgspec
import trio

import migmond
from migmond.domain.errors import MoverError, ProtocolError
from migmond.domain.identity import Identity
from migmond.domain.packing import Unpacker, pack
from migmond.wire.framing import FrameReader, frame
from migmond.wire.from_mover import Crashed, FromMover
from migmond.wire.mover import MAX_FRAME_BYTES
from migmond.wire.slots import SLOT_BYTES, ControlSide
from migmond.wire.to_mover import Become, Join, ToMover

_RECEIVE_BYTES = 256 * 1024
_EXIT_GRACE_S = 2.0
NICENESS = 5
"""More than the daemon's: people at the terminal and the daemon that answers them come first. A machine with nothing
else to do does not slow a mover down for it."""


class MoverProcess:
    """A running mover. Made by `start_mover`.

    Attributes:
        slot: its number within the execution, 0 before `serve`.
        pid: process id.
        control: the daemon's end of its shared-memory slot.
    """

    def __init__(self, process: trio.Process, stream: trio.SocketStream, control: ControlSide) -> None:
        self.slot = 0
        self.pid = process.pid
        self.control = control
        self._process = process
        self._stream = stream
        self._send_lock = trio.Lock()
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._unpacker: Unpacker[FromMover] = Unpacker(FromMover)
        self._received: deque[FromMover] = deque()

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ended(self) -> None:
        """Wait until the process has ended; `end` is due all the same."""
        await self._process.wait()

    async def serve(self, slot: int, identity: Identity) -> None:
        """Make it a mover of this user's, for good: before anything else is asked of it. Unless we are root, it is ours
        as it is, and must not be anybody else's.

        Raises:
            MoverError: it is gone.
        """
        self.slot = slot
        if os.geteuid() == 0:
            await self.send(Become(identity.uid, identity.gid, identity.groups))

    async def send(self, message: ToMover) -> None:
        """Send one message; messages arrive in the order of the calls.

        Raises:
            MoverError: the mover is gone.
        """
        async with self._send_lock:
            try:
                await self._stream.send_all(frame(pack(message)))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as e:
                raise MoverError(f"mover {self.slot} (pid {self.pid}) is gone") from e

    async def join(self, budget_fd: int) -> None:
        """Let it draw from a budget, whose page (`wire.budget`) it is given: from before whatever it is sent next.

        Raises:
            MoverError: the mover is gone.
        """
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", budget_fd))
        async with self._send_lock:
            data = frame(pack(Join()))
            try:
                sent = await self._stream.socket.sendmsg([data], [rights])
                await self._stream.send_all(data[sent:])
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as e:
                raise MoverError(f"mover {self.slot} (pid {self.pid}) is gone") from e

    async def receive(self) -> FromMover | None:
        """Return the next thing the mover says, or None when it has ended. For one reader at a time.

        Raises:
            MoverError: it said something malformed, or that it met a bug.
        """
        while not self._received:
            try:
                data = await self._stream.receive_some(_RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not data:
                return None
            try:
                self._received.extend(self._unpacker.unpack(payload) for payload in self._reader.feed(bytes(data)))
            except (msgspec.DecodeError, ProtocolError) as e:
                raise MoverError(f"mover {self.slot} (pid {self.pid}) sent a malformed message: {e}") from e
        message = self._received.popleft()
        if isinstance(message, Crashed):
            raise MoverError(f"mover {self.slot} (pid {self.pid}) met a bug: {message.message}")
        return message

    def kill(self) -> None:
        """Kill it at once; every state it can leave behind is one that Settle and Sweep know."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    async def hang_up(self) -> None:
        """Close the socket: the mover ends by itself, and whoever reads its messages sees the end."""
        await self._stream.aclose()

    async def end(self) -> str:
        """Close the socket, wait a little, kill it if need be, and return how it ended, for people."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(_EXIT_GRACE_S):
                await self._stream.aclose()
                await self._process.wait()
            if self._process.returncode is None:
                self.kill()
                # A process in uninterruptible sleep cannot be reaped now; the daemon does not wait for it.
                with trio.move_on_after(_EXIT_GRACE_S):
                    await self._process.wait()
            self.control.close()
        code = self._process.returncode
        if code is None:
            return "did not die (uninterruptible I/O)"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


async def start_mover() -> MoverProcess:
    """Start a mover that is nobody's yet.

    Raises:
        MoverError: the process cannot be started.
    """
    with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs_only:
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            undo.callback(ours.close)
            theirs_only.callback(theirs.close)
            memory_fd = os.memfd_create("migmond-slot", os.MFD_CLOEXEC)
            theirs_only.callback(os.close, memory_fd)
            os.ftruncate(memory_fd, SLOT_BYTES)
            memory = mmap.mmap(memory_fd, SLOT_BYTES)
            undo.callback(memory.close)
            process = await _spawn(theirs.fileno(), memory_fd)
        except OSError as e:  # too many open files among them
            raise MoverError(f"cannot start a mover: {e.strerror}", errno=e.errno) from e
        undo.pop_all()
        return MoverProcess(process, trio.SocketStream(trio.socket.from_stdlib_socket(ours)), ControlSide(memory))


async def _spawn(socket_fd: int, memory_fd: int) -> trio.Process:
    package_root = str(Path(migmond.__file__).parents[1])
    # -P and a PYTHONPATH of our own: nothing of the asking user's environment or directory decides what code runs.
    process = await trio.lowlevel.open_process(
        [sys.executable, "-P", "-s", "-m", "migmond.mover", str(socket_fd), str(memory_fd)],
        pass_fds=(socket_fd, memory_fd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env={"PYTHONPATH": package_root, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        umask=0o077,
    )
    # From here, not by itself when it has loaded its code: that takes 80 ms of a core, and others wait for an answer.
    os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    return process
