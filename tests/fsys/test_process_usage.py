"""What processes take: ourselves against what the kernel tells by other ways, others as they end, and recorded ones."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from as_user import as_user
from migmond.domain.samples import NoData
from migmond.fsys.facts import mount_of
from migmond.fsys.process_usage import GONE, HIDDEN, Usage, process_usage

HZ, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def figures(usage: Usage | NoData) -> Usage:
    assert isinstance(usage, Usage)
    return usage


@contextlib.contextmanager
def child(code: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_ourselves_as_the_kernel_tells_us() -> None:
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    usage, own = figures(process_usage(os.getpid())), resource.getrusage(resource.RUSAGE_SELF)
    assert usage.cpu_s == pytest.approx(own.ru_utime + own.ru_stime, abs=0.1)
    assert isinstance(usage.resident_bytes, float)
    assert 1 << 20 < usage.resident_bytes <= own.ru_maxrss * 1024 * 1.1
    assert usage.state == "running"


THREADS = """
import resource, sys, threading, time
def nap():
    for _ in range(50): time.sleep(0.001)
    done.release()
    end.wait()
done, end = threading.Semaphore(0), threading.Event()
for _ in range(4): threading.Thread(target=nap, daemon=True).start()
for _ in range(4): done.acquire()
print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, flush=True)
sys.stdin.read()
"""


def test_switches_are_those_of_all_threads() -> None:
    with child(THREADS) as process:
        assert process.stdout is not None
        told = int(process.stdout.readline())
        usage = figures(process_usage(process.pid))
        assert isinstance(usage.given_up, float)
        assert told >= 4 * 50
        assert abs(usage.given_up - told) < 20


def test_what_is_written_is_counted(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        if mount_of(directory).kind == "tmpfs":
            pytest.skip("what is written to memory is not counted")
    finally:
        os.close(directory)
    before = figures(process_usage(os.getpid()))
    with (tmp_path / "file").open("wb") as file:
        file.write(b"x" * (8 << 20))
        os.fsync(file.fileno())
    after = figures(process_usage(os.getpid()))
    assert isinstance(before.write_bytes, float)
    assert isinstance(after.write_bytes, float)
    assert 8 << 20 <= after.write_bytes - before.write_bytes < 9 << 20


def test_one_that_sleeps_stops_and_ends() -> None:
    with child("import sys; print(1, flush=True); sys.stdin.read()") as process:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 10
        while figures(process_usage(process.pid)).state != "sleeping" and time.monotonic() < deadline:
            pass
        first = figures(process_usage(process.pid))
        assert first.state == "sleeping"
        assert figures(process_usage(process.pid, first.started)).started == first.started
        assert process_usage(process.pid, first.started + 1) == GONE
        process.send_signal(signal.SIGSTOP)
        while figures(process_usage(process.pid)).state != "stopped" and time.monotonic() < deadline:
            pass
        assert figures(process_usage(process.pid)).state == "stopped"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: it has ended, and its pid is still there
        assert process_usage(process.pid) == GONE
    assert process_usage(process.pid, first.started) == GONE


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_what_may_not_be_seen_is_no_data_and_the_rest_is_told() -> None:
    pid = os.getpid()
    usage = as_user(lambda: process_usage(pid), uid=65534, gid=65534)
    assert figures(usage).write_bytes == NoData("it may not be seen: that takes CAP_SYS_PTRACE")
    assert isinstance(figures(usage).cpu_s, float)


@given(
    name=st.binary(max_size=15).filter(lambda b: b"\0" not in b and b"\n" not in b),
    numbers=st.lists(st.integers(0, 1 << 40), min_size=4, max_size=4),
)
def test_any_command_name_and_numbers(
    tmp_path_factory: pytest.TempPathFactory, name: bytes, numbers: list[int]
) -> None:
    user, system, started, pages = numbers
    directory = tmp_path_factory.getbasetemp() / "recorded" / "7"
    directory.mkdir(parents=True, exist_ok=True)
    after = [b"S", *[b"1"] * 10, b"%d" % user, b"%d" % system, *[b"2"] * 6, b"%d" % started, b"3", b"%d" % pages, b"4"]
    (directory / "stat").write_bytes(b"7 (" + name + b") " + b" ".join(after) + b"\n")
    for thread, counts in (("7", (5, 0)), ("8", (0, 6))):
        (directory / "task" / thread).mkdir(parents=True, exist_ok=True)
        status = [f"voluntary_ctxt_switches:\t{counts[0]}", f"nonvoluntary_ctxt_switches:\t{counts[1]}"]
        (directory / "task" / thread / "status").write_text("\n".join(["Name:\tx", "State:\tS (sleeping)", *status]))
    (directory / "io").write_text("rchar: 1\nread_bytes: 10\nwrite_bytes: 20\ncancelled_write_bytes: 3\n")
    assert process_usage(7, proc=str(directory.parent)) == Usage(
        (user + system) / HZ, float(pages * PAGE), 10.0, 20.0, 5.0, 6.0, "sleeping", started
    )


def test_one_that_lives_but_is_not_shown_has_not_ended(tmp_path: Path) -> None:
    assert process_usage(os.getpid(), proc=str(tmp_path)) == HIDDEN
    with child("pass") as process:
        process.wait()
        assert process_usage(process.pid, proc=str(tmp_path)) == GONE


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ("SS", "sleeping"),
        ("SR", "running"),
        ("RD", "waiting for a disk"),
        ("SD", "waiting for a disk"),
        ("TT", "stopped"),
    ],
)
def test_the_state_is_that_of_the_thread_that_matters(tmp_path: Path, states: str, told: str) -> None:
    for thread, state in enumerate(states):
        (tmp_path / "7" / "task" / str(thread)).mkdir(parents=True)
        (tmp_path / "7" / "task" / str(thread) / "status").write_text(f"State:\t{state} (some)\n")
    (tmp_path / "7" / "stat").write_text(f"7 (x) {states[0]} " + " ".join(["1"] * 30))
    assert figures(process_usage(7, proc=str(tmp_path))).state == told
