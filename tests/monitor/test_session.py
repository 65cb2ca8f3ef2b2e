"""Sessions and disks, without clocks: what is made of observations."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from migmond.analytics.fail_slow import SPANS
from migmond.analytics.shares import DeviceLoad, of_threads
from migmond.domain.activity import Activity, Spent
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.observation import MoverAtWork, Observation, Outlook
from migmond.domain.plan import Plan, Source
from migmond.domain.samples import SampleView
from migmond.domain.selector import Selector
from migmond.domain.session import MAX_COURSE, DeviceSide, MachineUse, SessionRecord
from migmond.domain.states import ExecutionState
from migmond.domain.steering import BatchSize, Standing
from migmond.monitor.disks import Disks
from migmond.monitor.sampler import machine_load
from migmond.monitor.session import Session
from migmond.monitor.usage import MachineLoad, MoverUsage

SECOND = 10**9


def spent(**seconds: float) -> Spent:
    return Spent(tuple(int(SECOND * seconds.get(a.name.lower(), 0.0)) for a in Activity))


def seen(
    done: int, *, state: ExecutionState = ExecutionState.RUNNING, planned: int = 1 << 40, **fields: object
) -> Observation:
    execution = Execution(
        "a" * 12, 1, "it", Plan("it", (Source(b"/s"),), b"/t"), Identity(0, 0, ()),
        ExecutionState.RUNNING, 0.0,
        totals=Totals(Tally(10**6, 1 << 40), Tally(done >> 10, done), growing=False),
    )  # fmt: skip
    mover = MoverAtWork(1, 77, "copying", 3, b"x", 10, 5, 0)
    observation = Observation(execution, 0.0, Tally(), (mover,), Spent(), Spent(), 0, 0, 2, 10.0)
    return msgspec.structs.replace(observation, **fields)


def run(session: Session, seconds: int, rate: int, **fields: Any) -> None:
    for second in range(0, seconds, 2):
        observation = seen(rate * second, active_s=float(second), **fields)
        usage = {77: MoverUsage(second * 0.5, 1000.0, second * 100.0, None)}
        session.observe(observation, float(second), 1e9 + second, usage, MachineLoad())


def test_what_is_kept_goes_on_where_an_earlier_run_ended() -> None:
    first = Session(seen(0), 0.0, None)
    run(first, 60, 1 << 20, copying=spent(source_read=3, waiting=7), deaths=1)
    before = first.record
    assert (before.active_s, before.deaths, before.cpu_s, before.read_bytes) == (58.0, 1, 29.0, 5800)
    assert before.written_bytes is None
    assert before.copying[Activity.SOURCE_READ] == 3 * SECOND
    assert before.course[-1].settled.bytes == 58 << 20
    second = Session(seen(58 << 20), 0.0, before)
    run(second, 20, 1 << 20, copying=spent(source_read=1), deaths=0, retries=3, workers=4)
    assert second.record.cpu_s == 29.0 + 9.0
    assert second.record.copying[Activity.SOURCE_READ] == 4 * SECOND
    assert (second.record.deaths, second.record.retries, second.record.workers) == (1, 3, 4)


def test_work_that_a_crash_took_from_the_journal_is_active_time_all_the_same() -> None:
    first = Session(seen(0), 0.0, None)
    run(first, 60, 1 << 20)
    again = Session(seen(0), 0.0, first.record)  # nothing had become durable: the journal knows of no active time
    run(again, 20, 1 << 20)
    assert again.record.active_s == 58.0 + 18.0
    assert again.record.wall_s == again.record.active_s
    course = [point.active_s for point in again.record.course]
    assert course == sorted(course)
    assert course[-1] == 76.0


def test_what_is_cancelled_fails_or_is_skipped_is_not_brought_and_what_is_brought_again_is() -> None:
    session = Session(seen(0), 0.0, None)
    run(session, 60, 1 << 20)
    before = session.brought.bytes
    assert before == 58 << 20
    execution = seen(58 << 20).execution
    totals = msgspec.structs.replace(
        execution.totals, failed=Tally(1, 1 << 33), cancelled=Tally(5, 1 << 34), skipped=Tally(7, 1 << 35)
    )
    ended = msgspec.structs.replace(execution, totals=totals)
    session.observe(seen(0, execution=ended, active_s=60.0), 60.0, 1e9 + 60, {}, MachineLoad())
    assert session.brought.bytes == before
    rates = session.rates(0.0)
    assert rates.peak is not None
    assert rates.peak.bytes_per_s == pytest.approx(1 << 20, rel=0.05)
    settled = (58 << 20) + (1 << 33) + (1 << 35)  # all but what was cancelled
    assert session.record.course[-1].settled.bytes == settled
    for second, done in ((62, 40 << 20), (64, 50 << 20)):  # a mover died with 18 MiB in hand
        session.observe(seen(done, active_s=float(second)), float(second), 1e9 + second, {}, MachineLoad())
    assert session.brought.bytes == before + (10 << 20)


def test_what_a_mover_took_that_is_gone_stays_in_the_sum() -> None:
    session = Session(seen(0), 0.0, None)
    run(session, 20, 1)
    session.observe(seen(20, movers=()), 20.0, 20.0, {}, MachineLoad())
    assert session.record.cpu_s == 9.0
    other = MoverAtWork(1, 78, "copying", 3, b"x", 10, 5, 0)
    session.observe(seen(20, movers=(other,)), 22.0, 22.0, {78: MoverUsage(1.0, None, None, None)}, MachineLoad())
    assert session.record.cpu_s == 10.0


@pytest.mark.parametrize("seconds", [100, 5000, 20_000])
def test_a_course_is_bounded_and_ends_now(seconds: int) -> None:
    session = Session(seen(0), 0.0, None)
    run(session, seconds, 1 << 20)
    course = session.record.course
    assert len(course) <= MAX_COURSE + 1
    assert course[-1].active_s == seconds - 2
    assert [p.active_s for p in course] == sorted({p.active_s for p in course})
    gaps = [b.active_s - a.active_s for a, b in itertools.pairwise(course)]
    assert max(gaps) <= 4 * max(2.0, seconds / (MAX_COURSE / 2))


def test_a_copying_thread_that_waits_for_its_sync_waits_for_the_disk() -> None:
    found = of_threads(spent(waiting=8, source_read=2), spent(sync=6, publish=2, waiting=2))
    assert found[Activity.SYNC] == 6 * SECOND
    assert found[Activity.PUBLISH] == 2 * SECOND
    assert found[Activity.WAITING] == 0
    assert sum(found.values()) == 10 * SECOND
    beside = of_threads(spent(source_read=10), spent(sync=9, waiting=1))
    assert sum(beside.values()) == beside[Activity.SOURCE_READ] == 10 * SECOND


def test_it_says_when_the_destination_will_be_full() -> None:
    outlook = Outlook(remaining_s=10_000.0, target=DeviceSide(mount="/t"))
    session = Session(seen(0), 0.0, None)
    for second in range(0, 120, 2):
        load = MachineLoad(free_bytes={"/t": (2 << 30) - second * (1 << 20)})
        session.observe(seen(second << 20, outlook=outlook), float(second), float(second), {}, load)
    (issue,) = [i for i in session.performance(0.0).issues if i.kind == "target_full"]
    assert issue.value == pytest.approx(2048 - 110, rel=0.02)
    assert "will be full in 3" in issue.title
    enough = Outlook(remaining_s=60.0, target=DeviceSide(mount="/t"))
    session.observe(seen(120 << 20, outlook=enough), 120.0, 120.0, {}, load)
    assert [i for i in session.performance(0.0).issues if i.kind == "target_full"] == []


def samples(at: float, total: float, operations: float, wait_s: float) -> Iterator[SampleView]:
    text = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()
    for metric, value in (
        ("migmond_disk_bytes_total", total),
        ("migmond_disk_operations_total", operations),
        ("migmond_disk_latency_seconds", wait_s),
    ):
        yield SampleView(metric, "", {"device": "sdx", "direction": "write"}, value, "", text)
    yield SampleView("migmond_disk_queue_requests", "", {"device": "sdx"}, 4.0, "", text)


def test_a_disk_that_fails_slowly_is_named() -> None:
    disks, at, done = Disks(), 1e9, 0.0
    for healthy in range(2000):
        done += 100 + healthy % 17
        disks.observe(samples(at, done * 65536, done, 0.004 + 0.0002 * (healthy % 7)), explained=False)
        at += 2
    assert disks.findings(["sdx"]) == []
    for _ in range(SPANS):
        for _ in range(400):
            done += 100
            disks.observe(samples(at, done * 65536, done, 0.2), explained=False)
            at += 2
        for _ in range(50):
            done += 100
            disks.observe(samples(at, done * 65536, done, 0.004), explained=False)
            at += 2
    (finding,) = disks.findings(["sdx", "sdy"])
    assert (finding.device, finding.kind) == ("sdx", "fail_slow")
    session = Session(seen(0), 0.0, None)
    outlook = Outlook(target=DeviceSide(("sdx",)))
    load = MachineLoad(findings={"sdx": finding})
    session.observe(seen(1, outlook=outlook), 2.0, 2.0, {}, load)
    session.observe(seen(2, outlook=outlook), 4.0, 4.0, {}, load)
    assert [i.kind for i in session.performance(0.0).issues] == ["fail_slow"]


def seeking(kind: str, rates: tuple[int, ...]) -> Session:
    """Two movers write to a busy disk, at each rate (MiB/s) for five minutes, as collector and sampler see it."""
    disks, session, at, total, done = Disks(), Session(seen(0), 0.0, None), 1e9, 0.0, 0
    movers = tuple(MoverAtWork(slot, 70 + slot, "copying", 3, b"x", 10, 5, 0) for slot in (1, 2))
    outlook = Outlook(target=DeviceSide(("sdx",), "sdx", kind))
    for rate in rates:
        for second in range(150):
            total, done, at = total + (rate << 21) * (1.5 if second % 2 else 0.5), done + 100, at + 2
            told = [*samples(at, total, done, 0.02 if rate > 100 else 0.2)]
            told.append(SampleView("migmond_disk_busy_ratio", "ratio", {"device": "sdx"}, 0.96, "", told[0].at))
            disks.observe(told, explained=False)
            seconds = at - 1e9
            observation = seen(int(total), copying=spent(target_write=2 * seconds), movers=movers, outlook=outlook)
            session.observe(observation, seconds, at, {}, machine_load(told, disks))
    return session


def test_fewer_movers_are_suggested_for_a_rotating_disk_that_was_faster_than_it_is_now() -> None:
    (one,) = seeking("hdd", (180, 90)).time().suggestions
    assert (one.command, one.because[:29]) == ("workers ID 1", "sdx turns, is busy 96% and mo")
    assert one.gain_high == pytest.approx(
        0.31, abs=0.05
    )  # f = 1 - 90/(180·0.96) of the time are seeks, half of it goes
    assert (
        seeking("hdd", (180,)).time().suggestions == ()
    )  # a look is half or half more of the next: that is no seeking
    assert seeking("ssd", (180, 90)).time().suggestions == ()


def test_a_disk_that_takes_ten_times_as_long_as_usual_is_evidence() -> None:
    assert "(sdx busy 96%, 200 ms a request, usually" in seeking("hdd", (180, 180, 180, 180, 30)).time().why


def test_a_record_without_anything_is_a_record() -> None:
    assert Session(seen(0), 0.0, None).record == SessionRecord(1, "a" * 12, 0.0)


def decayed(factor: float, **fields: Any) -> Session:
    """Ten minutes on a disk that takes `factor` times as long from the middle on."""
    session, done = Session(seen(0), 0.0, None), 0.0
    for second in range(0, 600, 2):
        done += (8 << 20) / (factor if second >= 300 else 1.0)
        observation = seen(int(done), active_s=float(second), **fields)
        target = DeviceSide(("sdc",), "sdc", "hdd")
        outlook = msgspec.structs.replace(observation.outlook, target=target)
        load = MachineLoad(degrees={"sdc": 61.0})
        session.observe(msgspec.structs.replace(observation, outlook=outlook), float(second), 1e9 + second, {}, load)
    return session


def test_a_run_that_became_slower_for_good_says_so_with_evidence() -> None:
    session = decayed(3.0)
    (issue,) = [i for i in session.performance(0.0).issues if i.kind == "slow_decay"]
    assert issue.title.startswith("it became 3 times slower after 1.16 GiB")
    assert issue.evidence.endswith("a shingled disk (SMR) whose cache is full does that (sdc 61 °C)")
    assert issue.value == pytest.approx(3.0, rel=0.1)
    assert "It became 3 times slower" in session.time().why


def test_what_is_not_significant_or_was_asked_for_is_no_decay() -> None:
    for session in (decayed(1.0), decayed(1.1)):
        assert session.decay() is None
    limited = msgspec.structs.replace(seen(0).execution, limits=Limits(io_bytes_per_s=1 << 20))
    session = Session(seen(0, execution=limited), 0.0, None)
    run(session, 60, 1 << 20, execution=limited)
    assert session.decay() is None
    fewer = decayed(3.0)
    fewer.observe(seen(2 << 30, active_s=602.0, workers=1), 602.0, 1e9, {}, MachineLoad())
    assert fewer.decay() is None


MP4 = Hold("h1", HoldReason.USER, "ana", 0.0, None, "", Selector(include=("*.mp4",)), "i-1")


def with_holds(done: int, *holds: Hold, reason: str = "") -> Observation:
    observation = seen(done, copying=spent(source_read=done / (1 << 20)))
    execution = msgspec.structs.replace(observation.execution, holds=holds, reason=reason)
    return msgspec.structs.replace(observation, execution=execution)


def test_a_hold_on_some_entries_does_not_stop_the_others() -> None:
    session = Session(with_holds(0, MP4), 0.0, None)
    for second in range(60):
        session.observe(with_holds(second << 20, MP4), float(second), float(second), {}, MachineLoad())
    assert "stands still" not in session.time().why
    assert "reading the source" in session.time().why
    assert session.record.held_s == 0.0
    session.observe(with_holds(60 << 20, MP4, Hold("h2", HoldReason.USER, "ben", 0.0)), 60.0, 60.0, {}, MachineLoad())
    assert session.time().why == "It stands still: ben paused it."


@pytest.mark.parametrize(
    ("workers", "most", "suggested"), [(1, 8, ["workers ID 2"]), (1, 1, []), (1, None, []), (4, 8, [])]
)
def test_more_movers_are_suggested_when_all_that_were_asked_for_are_here(
    workers: int, most: int | None, suggested: list[str]
) -> None:
    outlook = Outlook(source=DeviceSide(("sda",)), target=DeviceSide(("sdb",)))
    load = MachineLoad(0.2, {name: DeviceLoad(name, busy=0.3) for name in ("sda", "sdb")})
    session = Session(seen(0), 0.0, None)
    for second in range(30):
        now = seen(
            second << 20, copying=spent(source_read=second), outlook=outlook, workers=workers, most_workers=most
        )  # fmt: skip
        session.observe(now, float(second), 1e9 + second, {}, load)
    assert [s.command for s in session.time().suggestions] == suggested


def test_larger_batches_are_suggested_to_who_has_made_them_small() -> None:
    standing = (Standing("i-1", "ana", 0.0, None, "", BatchSize(5)),)
    session = Session(seen(0), 0.0, None)
    for second in range(30):
        now = seen(second << 20, copying=spent(source_read=second / 2, waiting=second / 2))
        execution = msgspec.structs.replace(now.execution, standing=standing)
        session.observe(msgspec.structs.replace(now, execution=execution), float(second), 1e9, {}, MachineLoad())
    assert [s.command for s in session.time().suggestions] == ["batch ID auto"]


def test_a_hold_is_told_before_the_next_look() -> None:
    session = Session(seen(0), 0.0, None)
    session.observe(seen(0), 0.0, 0.0, {}, MachineLoad())
    assert "not measured" in session.time().why
    now = msgspec.structs.replace(
        seen(0).execution, state=ExecutionState.PAUSED, holds=(Hold("h2", HoldReason.USER, "ben", 0.0),)
    )
    assert session.time(now).why == "It stands still: ben paused it."
    assert session.performance(0.0, now).time.why == "It stands still: ben paused it."


def test_it_stands_still_when_all_that_is_left_is_held() -> None:
    reason = "the rest, 2 entries, is held: i-1 by ana"
    session = Session(with_holds(0, MP4), 0.0, None)
    for second in range(60):
        session.observe(with_holds(0, MP4, reason=reason), float(second), float(second), {}, MachineLoad())
    assert session.time().why == f"It stands still: {reason}."
    assert session.record.held_s == 59.0


def test_what_the_machine_used_meanwhile_is_summed_over_runs_and_counters_that_begin_anew() -> None:
    session = Session(seen(0), 0.0, None)
    figures = [(100.0, 50.0, 7.0), (130.0, 51.0, 9.0), (5.0, 52.0, 10.0), (10.0, 60.0, 12.0)]
    for second, (package, dram, busy) in enumerate(figures, start=1):
        load = MachineLoad(joules={"package-0": package, "package-0/dram": dram}, busy_s=busy)
        session.observe(seen(second), float(second), 1e9, {}, load)
    # The package: 30 and 5, the memory 10. The first look has nothing before it.
    assert session.record.machine == MachineUse(45.0, 3.0, 5.0)
    again = Session(seen(4), 0.0, session.record)
    for second in (1, 2):
        load = MachineLoad(joules={"package-0": 7.0 * second}, busy_s=1.0 * second)
        again.observe(seen(5), float(second), 1e9, {}, load)
    assert again.record.machine == MachineUse(52.0, 4.0, 6.0)
    again.observe(seen(5), 3.0, 1e9, {}, MachineLoad())
    assert again.record.machine == MachineUse(52.0, 4.0, 6.0)


def test_a_machine_that_does_not_tell_has_used_nothing_known() -> None:
    session = Session(seen(0), 0.0, None)
    run(session, 20, 1)
    assert session.record.machine is None


def test_what_was_done_before_the_first_look_took_its_time() -> None:
    """The sampler comes by every other second: a short migration has worked for a while, or was held, by then."""
    session = Session(seen(0, active_s=1.5), 10.0, None)
    session.observe(seen(1, active_s=1.5), 10.0, 10.0, {}, MachineLoad())
    session.observe(seen(2, active_s=3.5), 12.0, 12.0, {}, MachineLoad())
    assert (session.record.active_s, session.record.wall_s) == (3.5, 3.5)
    again = Session(seen(3, active_s=4.0), 0.0, session.record)
    again.observe(seen(4, active_s=6.0), 2.0, 14.0, {}, MachineLoad())
    assert (again.record.active_s, again.record.wall_s) == (6.0, 6.0)


def test_a_run_that_was_not_looked_at_yet_is_told_of() -> None:
    assert "not measured long enough" in Session(seen(0), 0.0, None).time().why
