"""A mover's end of the budget: by machine code and without it, many at a time."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.engine.limiter import Limiter
from migmond.fsys import machine_code
from migmond.mover.budget import Budget
from migmond.planning.allowances import Allowance
from migmond.wire.budget import OPERATION, Kind, Terms

LIBRARIES = [None, *([machine_code.load()] if machine_code.built() else [])]
ways = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: "C" if library else "Python")


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    found = Limiter(None, "")
    yield found
    found.close()


def budget_of(limiter: Limiter, library: ctypes.CDLL | None) -> Budget:
    return Budget(os.dup(limiter.page()), library)


@ways
def test_nothing_that_is_taken_at_the_same_time_is_lost(limiter: Limiter, library: ctypes.CDLL | None) -> None:
    """By threads of a process and by processes; each mark is given once."""
    limiter.allow(Allowance(ops_per_s=1e-9), 1)
    budget, read, write = budget_of(limiter, library), *os.pipe()

    def draw(found: list[int]) -> None:
        found += [budget.take(Kind.OPERATIONS, 7, 0) for _ in range(500)]

    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            marks: list[int] = []
            draw(marks)
            os.write(write, b"".join(m.to_bytes(8, "little") for m in marks))
            os._exit(0)
        children.append(child)
    own: list[list[int]] = [[], []]
    threads = [threading.Thread(target=draw, args=(found,)) for found in own]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = b""
    while len(told) < 2 * 500 * 8:
        told += os.read(read, 1 << 16)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    os.close(read)
    os.close(write)
    theirs = [int.from_bytes(told[i : i + 8], "little") for i in range(0, len(told), 8)]
    assert sorted([*own[0], *own[1], *theirs]) == [7 * n for n in range(1, 2001)]
    assert limiter.taken(Kind.OPERATIONS) == 7 * 2000


@pytest.mark.skipif(len(LIBRARIES) < 2, reason="there was no C compiler when .venv was set up")
@given(
    st.builds(Terms, st.integers(0, 2**50), st.floats(0, 2.0**50), st.floats(0, 1e10), st.floats(0, 1e9)),
    st.integers(0, 2**52),
    st.integers(0, 2**40),
    st.integers(0, 2**50),
)
def test_machine_code_takes_what_python_takes(terms: Terms, taken: int, amount: int, now: int) -> None:
    limiter, library = Limiter(None, ""), machine_code.load()
    budget = budget_of(limiter, library)
    bucket = budget[Kind.BYTES]
    bucket.tell(terms)
    bucket.put(taken)
    assert abs(budget.take(Kind.BYTES, amount, now) - terms.mark(taken, amount, now)) <= 1
    assert library is not None
    mark, address = bucket.taken, ctypes.addressof(budget.page)
    library.migmond_left_ns.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
    found, expected = library.migmond_left_ns(address, mark, now), terms.left_ns(mark, now)
    assert abs(found - expected) <= 1 + expected * 1e-9
    assert bool(library.migmond_limited(ctypes.c_void_p(address))) == (terms.rate > 0)


def test_a_user_cannot_take_the_page_away(limiter: Limiter) -> None:
    fd = limiter.page()
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)


def test_whatever_a_user_writes_there_the_daemon_goes_on(limiter: Limiter) -> None:
    budget = budget_of(limiter, None)
    ctypes.memset(ctypes.addressof(budget.page), 0xFF, 4096)
    for allowance in (Allowance(1000, 2.0, 50.0), Allowance(), Allowance(5)):
        limiter.allow(allowance, 1)
    assert limiter.taken(Kind.BYTES) > 0
    assert budget[Kind.BYTES].rate == 5


def test_what_was_allowed_before_anybody_came_holds(limiter: Limiter) -> None:
    limiter.allow(Allowance(1 << 20, 10.0, 150.0), 4)
    budget = budget_of(limiter, None)
    assert [budget[kind].rate for kind in Kind] == [1 << 20, 10 * OPERATION, 1.5e9]
    assert budget[Kind.BYTES].piece == 4096, "a fiftieth of a second for all four"
    assert budget.left_s(Kind.BYTES, budget.take(Kind.BYTES, 1 << 20, time.monotonic_ns()), time.monotonic_ns()) > 0.5


def test_after_the_end_nobody_hears_anything(limiter: Limiter) -> None:
    limiter.page()
    limiter.close()
    limiter.allow(Allowance(1), 1)
    assert limiter.taken(Kind.BYTES) == 0
