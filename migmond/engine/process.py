"""One mover process: started under somebody's identity, spoken to over an inherited socket, seen through its slot."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import signal
import socket
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
from migmond.wire.mover import MAX_FRAME_BYTES, Crashed, FromMover, ToMover
from migmond.wire.slots import SLOT_BYTES, ControlSide

_RECEIVE_BYTES = 256 * 1024
_EXIT_GRACE_S = 2.0
_MOVER, _SURVEYING = "migmond.mover", "migmond.mover.surveying"


class MoverProcess:
    """A running mover. Made by `start_mover`.

    Attributes:
        slot: its number within the execution.
        pid: process id.
        control: the daemon's end of its shared-memory slot.
    """

    def __init__(self, slot: int, process: trio.Process, stream: trio.SocketStream, control: ControlSide) -> None:
        self.slot = slot
        self.pid = process.pid
        self.control = control
        self._process = process
        self._stream = stream
        self._send_lock = trio.Lock()
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._unpacker: Unpacker[FromMover] = Unpacker(FromMover)
        self._received: deque[FromMover] = deque()

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


async def start_mover(slot: int, identity: Identity, *, surveying: bool = False) -> MoverProcess:
    """Start a mover under `identity`. A daemon that is not root can only start movers as itself.

    Args:
        surveying: it is to answer Survey, which takes code that others start without.

    Raises:
        MoverError: the process cannot be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    memory_fd = os.memfd_create("migmond-slot", os.MFD_CLOEXEC)
    try:
        with theirs:
            os.ftruncate(memory_fd, SLOT_BYTES)
            memory = mmap.mmap(memory_fd, SLOT_BYTES)
            try:
                process = await _spawn(_SURVEYING if surveying else _MOVER, identity, theirs.fileno(), memory_fd)
            except BaseException:
                memory.close()
                raise
    except BaseException as e:  # a cancel as well
        ours.close()
        if not isinstance(e, OSError):
            raise
        raise MoverError(
            f"cannot start a mover as uid {identity.uid}: {e.strerror}",
            errno=e.errno,
            hint="only a daemon that runs as root can move other users' files",
        ) from e
    finally:
        os.close(memory_fd)
    return MoverProcess(slot, process, trio.SocketStream(trio.socket.from_stdlib_socket(ours)), ControlSide(memory))


async def _spawn(module: str, identity: Identity, socket_fd: int, memory_fd: int) -> trio.Process:
    package_root = str(Path(migmond.__file__).parents[1])
    root = os.geteuid() == 0
    if not root and identity.uid != os.geteuid():
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    # It becomes the asking user itself, once its code is loaded: that code may lie where the user cannot read.
    become = [str(identity.uid), str(identity.gid), ",".join(map(str, identity.groups))] if root else []
    # -P and a PYTHONPATH of our own: nothing of the asking user's environment or directory decides what code runs.
    return await trio.lowlevel.open_process(
        [sys.executable, "-P", "-s", "-m", module, str(socket_fd), str(memory_fd), *become],
        pass_fds=(socket_fd, memory_fd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env={"PYTHONPATH": package_root, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        umask=0o077,
    )
