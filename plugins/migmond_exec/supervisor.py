"""Runs one hook program contained, from the beginning to the end of all that it started. A program of its own.

It is started by its path with the interpreter alone (`python -I -S`), so it imports nothing of migmond. It reads a
request, one line of JSON, from standard input, and writes an answer, one line of JSON, to standard output. When
standard input ends, because whoever asked has gone or wants no more of it, everything is killed.

It has one thread and no other children, so that it may fork, and adopts what its descendants leave behind
(PR_SET_CHILD_SUBREAPER): what escapes from its process group and session is found and killed all the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import stat
import sys
import time
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_FILE_BYTES = 64 << 20
_OPEN_FILES = 256
_KILLING_S = 5.0
"""For so long what does not die, such as a process that waits for a dead disk, is killed again."""
_TROUBLE = 100
"""Number of the descriptor through which a child says why it did not become the program: higher than any other."""
_LIBC = ctypes.CDLL(None, use_errno=True)


class RefusedError(Exception):
    """The program may not be run; the message says why and what to do."""


def main() -> None:
    request = json.loads(sys.stdin.buffer.readline())
    try:
        answer = run(request)
    except RefusedError as e:
        answer = {"refused": str(e)}
    except OSError as e:
        answer = {"refused": f"{e.filename or request['argv'][0]}: {e.strerror}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def open_program(path: str, owner: int) -> int:
    """Open a program that nobody but root and `owner` could have changed; what is opened is what runs.

    Every directory from / down and the file itself are looked at through descriptors, each opened beneath the one
    before and none through a symlink: what is exchanged meanwhile is either seen or not used.

    Raises:
        RefusedError: which part is not as it must be.
        OSError: it cannot be opened.
    """
    at, seen = os.open("/", os.O_PATH | os.O_DIRECTORY), "/"
    names = path[1:].split("/")
    try:
        for position, name in enumerate(names):
            _check(seen, os.fstat(at), owner)
            last = position == len(names) - 1
            seen = os.path.join(seen, name)
            # O_NONBLOCK: a FIFO would be waited for.
            flags = os.O_RDONLY | os.O_NONBLOCK if last else os.O_PATH
            try:
                below = os.open(name, flags | os.O_NOFOLLOW, dir_fd=at)
            except OSError as e:
                if e.errno == errno.ELOOP:
                    raise RefusedError(f"{seen} is a symlink: give the real path") from e
                raise RefusedError(f"{seen}: {e.strerror}") from e
            os.close(at)
            at = below
        _check(seen, st := os.fstat(at), owner)
        if not stat.S_ISREG(st.st_mode):
            raise RefusedError(f"{seen} is no regular file")
        if not st.st_mode & 0o111:
            raise RefusedError(f"{seen} is not executable: chmod 755 {seen}")
        if st.st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise RefusedError(f"{seen} is setuid or setgid: chmod ug-s {seen}")
    except BaseException:
        os.close(at)
        raise
    return at


def _check(path: str, st: os.stat_result, owner: int) -> None:
    if stat.S_ISLNK(st.st_mode):
        raise RefusedError(f"{path} is a symlink: give the real path")
    if st.st_uid not in (0, owner):
        raise RefusedError(f"{path} belongs to uid {st.st_uid}: it must be uid {owner}'s or root's")
    sticky = stat.S_ISDIR(st.st_mode) and st.st_mode & stat.S_ISVTX
    if st.st_mode & 0o022 and not sticky:
        raise RefusedError(f"{path} may be written by {'everybody' if st.st_mode & 0o002 else 'its group'}: chmod go-w")


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run the program of a request to its end; see `migmond_exec.running.Request` for what is in it.

    Raises:
        RefusedError, OSError: it was not started.
    """
    program = open_program(request["argv"][0], request["owner"])
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    group = _make_group(request["cgroup"], request["processes"])
    processes = None if group and os.path.exists(f"{group}/pids.max") else request["processes"]
    notice = os.memfd_create("notice")  # seekable, never full: nobody waits for who does not read
    os.write(notice, request["stdin"].encode())
    os.lseek(notice, 0, os.SEEK_SET)
    output, theirs = os.pipe()
    trouble, told = os.pipe()
    deadline = time.monotonic() + request["time_limit_s"]
    child = os.fork()
    if child == 0:
        try:
            _become(request, program, notice, theirs, told, group, processes)
        except BaseException as e:
            why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            os.write(told, f"{type(e).__name__}: {why}".encode())
        os._exit(127)
    for fd in (program, notice, theirs, told):
        os.close(fd)
    status, kept, dropped, timed_out = _watch(child, output, deadline, request["output_bytes"])
    left = end_all(group)
    # Whatever is in the pipe after all have gone was said before.
    more, lost = _drain(output, request["output_bytes"] - len(kept))
    why = os.read(trouble, 4096).decode("utf-8", "replace")
    if why:
        raise RefusedError(f"{request['argv'][0]} could not be started as uid {request['uid']}: {why}")
    return {
        "code": os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
        "timed_out": timed_out,
        "output": (kept + more).decode("utf-8", "replace"),
        "dropped": dropped + lost,
        "left": left,
    }


def _become(
    request: dict[str, Any], program: int, notice: int, output: int, told: int, group: str, processes: int | None
) -> None:
    """Turn this process, a fresh child, into the program. Does not return."""
    os.setsid()
    if group:
        with open(f"{group}/cgroup.procs", "w") as procs:
            procs.write("0")
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_AS: request["memory_bytes"],
        resource.RLIMIT_CPU: int(request["time_limit_s"]) + 1,
    }
    if processes is not None and request["uid"] != 0:
        limits[resource.RLIMIT_NPROC] = _tasks_of(request["uid"]) + processes
    for what, most in limits.items():
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    os.umask(0o077)
    os.chdir("/")
    for fd, to in ((notice, 0), (output, 1), (output, 2)):
        os.dup2(fd, to)
    if os.geteuid() != request["uid"]:
        os.setgroups([])
        os.setresgid(request["gid"], request["gid"], request["gid"])
        os.setresuid(request["uid"], request["uid"], request["uid"])
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after setuid, which clears it
    for signum in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    # A script's interpreter opens it once more, as /dev/fd/3; all else closes by itself.
    os.dup2(told, _TROUBLE, inheritable=False)
    os.dup2(program, 3)
    os.set_inheritable(3, True)  # noqa: FBT003 (it may have been 3 before; takes no keywords)
    os.closerange(4, _TROUBLE)
    os.closerange(_TROUBLE + 1, _OPEN_FILES)
    os.execve(3, request["argv"], request["environment"])


def _watch(child: int, output: int, deadline: float, most: int) -> tuple[int | None, bytes, int, bool]:
    """Wait until the program ends, its time is over, or nobody wants it any more; returns its status (None when it
    still runs), the beginning of what it said, how many bytes of that were dropped, and whether it was too slow."""
    pidfd = os.pidfd_open(child)
    poll = select.poll()
    for fd in (pidfd, output, sys.stdin.fileno()):
        poll.register(fd, select.POLLIN)
    os.set_blocking(output, False)
    kept, dropped = b"", 0
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return None, kept, dropped, True
        ready = {fd for fd, _ in poll.poll(left_s * 1000 + 1)}
        if output in ready:
            data = os.read(output, 65536)
            if not data:
                poll.unregister(output)
            room = most - len(kept)
            kept, dropped = kept + data[:room], dropped + len(data[room:])
        if pidfd in ready:
            return os.waitpid(child, 0)[1], kept, dropped, False
        if sys.stdin.fileno() in ready:
            return None, kept, dropped, False


def _drain(output: int, room: int) -> tuple[bytes, int]:
    """Read what a pipe still holds; it ends, as nobody writes any more."""
    kept, dropped = b"", 0
    with contextlib.suppress(BlockingIOError):
        while data := os.read(output, 65536):
            free = max(0, room - len(kept))
            kept, dropped = kept + data[:free], dropped + len(data[free:])
    return kept, dropped


def end_all(group: str) -> int:
    """Kill every descendant of this process, wherever it has hidden; returns how many would not die."""
    until = time.monotonic() + _KILLING_S
    while True:
        if group:
            with contextlib.suppress(OSError), open(f"{group}/cgroup.kill", "w") as kill:
                kill.write("1")
        alive = _descendants()
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            alive = []
        if not alive or time.monotonic() > until:
            break
        time.sleep(0.002)
    if group:
        with contextlib.suppress(OSError):
            os.rmdir(group)
    return len(alive)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The name may hold anything; what comes after its last bracket does not.
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _tasks_of(uid: int) -> int:
    """Return how many threads a user has: RLIMIT_NPROC counts them all."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, StopIteration, ValueError), open(f"/proc/{name}/status") as file:
                fields = dict(line.partition(":")[::2] for line in file)
                if int(fields["Uid"].split()[0]) == uid:
                    count += int(fields["Threads"])
    return count


def _make_group(parent: str, processes: int) -> str:
    """Return a control group for this run below a delegated one, "" when there is none to be had."""
    if not parent:
        return ""
    group = f"{parent}/hook-{os.getpid()}"
    try:
        os.mkdir(group)
    except OSError:
        return ""  # read-only, or not ours after all: the rest holds without it
    with contextlib.suppress(OSError), open(f"{group}/pids.max", "w") as most:
        most.write(str(processes))
    return group


if __name__ == "__main__":
    main()
