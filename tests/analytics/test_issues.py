"""Issues are told when their figures say so, with those figures, and not otherwise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.issues import BELOW_AVERAGE, issues
from migmond.analytics.shares import BUSY, SLOW_BUSY, SLOW_FACTOR, DeviceLoad, Situation
from migmond.analytics.throughput import Throughput
from migmond.domain.activity import Activity
from migmond.domain.analysis import RatesView
from migmond.domain.limits import Limits

S = 10**9


def rates(*pieces: tuple[int, int, int]) -> RatesView:
    """(ticks of 2 s, bytes per tick, entries per tick) each."""
    made, now, size, entries = Throughput(), 0.0, 0, 0
    made.observe(now, 0, 0)
    for ticks, more, more_entries in pieces:
        for _ in range(ticks):
            now, size, entries = now + 2, size + more, entries + more_entries
            made.observe(now, size, entries)
    return made.view(1e9)


EVEN = rates((100, 1000, 10))


def kinds(situation: Situation, of: RatesView = EVEN) -> set[str]:
    return {i.kind for i in issues(situation, of)}


def situation(spent: dict[Activity, int] | None = None, **more: object) -> Situation:
    return Situation(100.0, 100.0, {Activity.SOURCE_READ: 50 * S, **(spent or {})}, 1, **more)  # type: ignore[arg-type]


def test_all_is_well() -> None:
    well = situation(source=DeviceLoad("sda", busy=0.5, await_s=0.01, usual_await_s=0.01), cpu_busy=0.3, pending=10)
    assert kinds(well) == set()
    assert kinds(Situation(0.0, 0.0, {}, 0), rates()) == set()


def test_each_issue_has_its_figures() -> None:
    assert kinds(situation({Activity.WAITING: 40 * S}, pending=5)) == {"idle_movers"}
    assert kinds(situation({Activity.WAITING: 40 * S}, pending=5, scanning=True)) == set()
    assert kinds(situation({Activity.WAITING: 40 * S}, pending=0)) == set()
    assert kinds(situation({Activity.THROTTLED: 40 * S}, limits=Limits(io_bytes_per_s=1 << 20))) == {"limited"}
    assert kinds(situation({Activity.THROTTLED: 40 * S})) == set()
    assert kinds(situation(cpu_busy=0.95)) == {"cpu_full"}
    assert kinds(situation({Activity.THROTTLED: 90 * S}, cpu_busy=1.0)) == set()  # who waits for a limit needs none
    slower_and_slower = rates(*((10, 3000 - 30 * i + 70 * (i % 3), 10) for i in range(90)))
    assert kinds(situation(), slower_and_slower) == {"falling", "slow"}


def test_small_files_are_not_slowness() -> None:
    fewer_bytes = rates((200, 10_000, 10), (20, 1000, 10))
    assert "slow" in kinds(situation(), fewer_bytes)
    small_files = rates((200, 10_000, 10), (20, 1000, 500))
    assert "slow" not in kinds(situation(), small_files)
    (issue,) = [i for i in issues(situation(), fewer_bytes) if i.kind == "slow"]
    assert issue.value < issue.threshold == BELOW_AVERAGE


@given(st.none() | st.floats(0, 1), st.none() | st.floats(0, 10), st.none() | st.floats(0, 10))
def test_disks_are_told_by_their_thresholds(busy: float | None, await_s: float | None, usual: float | None) -> None:
    disk = DeviceLoad("sda", busy=busy, await_s=await_s, usual_await_s=usual)
    found = {i.kind: i for i in issues(situation(source=disk, target=disk), EVEN)}
    full = busy is not None and busy >= BUSY
    slow = await_s is not None and bool(usual) and usual is not None and await_s >= SLOW_FACTOR * usual
    slow &= busy is not None and busy >= SLOW_BUSY
    assert found.keys() == {k for k, told in (("device_full", full), ("device_slow", slow)) if told}
    for issue in found.values():
        assert issue.value >= issue.threshold
        assert "sda" in issue.evidence
    assert [i.severity for i in issues(situation(source=disk), EVEN)] == ["warning"] * slow + ["note"] * full
