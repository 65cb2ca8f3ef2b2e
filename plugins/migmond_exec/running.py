"""Having the supervisor run a program, and understanding what it says."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import trio

from migmond.domain.decoding import from_json
from migmond.plugin_api import ActionFailed

SUPERVISOR = str(Path(__file__).with_name("supervisor.py"))
ENDING_S = 8.0
"""For so long a supervisor may take to kill everything once nobody wants it any more; it gives up after 5 s."""
_ANSWER_BYTES = 1 << 20
_DELEGATED = ("user.delegate", "trusted.delegate")


class Request(msgspec.Struct, frozen=True):
    """What is to be run.

    Attributes:
        argv: the program's absolute path, and its arguments.
        owner: uid that may own it besides root.
        stdin: what it reads.
        uid, gid: whose rights it gets.
        output_bytes: so much of what it says is kept.
        cgroup: control group in which one may be made for it, "" for none.
    """

    argv: tuple[str, ...]
    owner: int
    environment: Mapping[str, str]
    stdin: str
    uid: int
    gid: int
    time_limit_s: float
    memory_bytes: int
    processes: int
    output_bytes: int
    cgroup: str


class Answer(msgspec.Struct, frozen=True):
    """How it went.

    Attributes:
        refused: why it was not started, "" when it was.
        code, signal: how it ended; both None when it was killed by the supervisor.
        dropped: bytes of its output that are not in `output`.
        left: processes that could not be killed.
    """

    refused: str = ""
    code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    output: str = ""
    dropped: int = 0
    left: int = 0


async def run(request: Request) -> Answer:
    """Run a program contained; when cancelled, it and everything that it started is killed before this returns.

    Raises:
        ActionFailed: the supervisor itself failed.
    """
    process = await trio.lowlevel.open_process(
        [sys.executable, "-I", "-S", SUPERVISOR],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={}, start_new_session=True,
    )  # fmt: skip
    said = b""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # It ends when its standard input does, so that stays open.
        with contextlib.suppress(trio.BrokenResourceError):
            await process.stdin.send_all(msgspec.json.encode(request) + b"\n")
        async for data in process.stdout:
            said += data[: _ANSWER_BYTES - len(said)]
    finally:
        with trio.CancelScope(shield=True):
            await process.stdin.aclose()
            with trio.move_on_after(ENDING_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await process.stdout.aclose()
    try:
        return from_json(said, Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        last = said.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
        raise ActionFailed(f"the supervisor of hooks ended with {process.returncode}: {last}") from e


def delegated_group(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> str:
    """Return our own control group (version 2) if systemd has delegated it to us, else ""."""
    try:
        with open(own) as file:
            path = next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))
    except (OSError, StopIteration):
        return ""
    at = group = os.path.normpath(f"{root}{path}")
    while len(at) > len(root):
        for mark in _DELEGATED:
            with contextlib.suppress(OSError):
                if os.getxattr(at, mark) == b"1":
                    return group
        at = os.path.dirname(at)
    return ""
