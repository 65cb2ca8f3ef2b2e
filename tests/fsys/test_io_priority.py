"""I/O priorities reach the kernel, for threads that are started later as well."""

from __future__ import annotations

import threading

import pytest

from migmond.fsys.io_priority import IoPriority, io_priority_value, set_io_priority


@pytest.mark.parametrize(
    ("priority", "value"), [(IoPriority.LOW, 2 << 13 | 7), (IoPriority.IDLE, 3 << 13), (IoPriority.NORMAL, None)]
)
def test_a_thread_and_what_it_starts_have_it(priority: IoPriority, value: int | None) -> None:
    """In a thread of its own: that of the tests keeps what it has."""
    found: list[int] = []
    before = io_priority_value()

    def look() -> None:
        found.append(io_priority_value())

    def work() -> None:
        set_io_priority(priority)
        look()
        inner = threading.Thread(target=look)
        inner.start()
        inner.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before if value is None else value] * 2
    assert io_priority_value() == before
