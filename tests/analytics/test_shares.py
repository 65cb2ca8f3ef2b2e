"""Where the time goes: sums that hold whatever the counters say, and sentences that say what was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.shares import Cause, DeviceLoad, Situation, bottleneck, causes, shares
from migmond.analytics.suggest import gain, suggestions
from migmond.analytics.why import TaskFacts, line, where_time_goes, why_not_faster, why_task
from migmond.domain.activity import Activity
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.limits import Limits
from migmond.domain.states import Outcome, TaskState

S = 10**9
HOT = Hold("h1", HoldReason.THERMAL, "engine", 0.0, note="sdd 58 °C")
SPENT = st.dictionaries(st.sampled_from(Activity), st.integers(0, 10**13))


def situation(movers: int = 2, seconds: float = 100.0, **more: object) -> Situation:
    spent = {Activity[k.upper()]: int(v * S * movers * seconds / 100) for k, v in more.pop("percent", {}).items()}  # type: ignore[attr-defined]
    return Situation(seconds, movers * seconds, spent, movers, **more)  # type: ignore[arg-type]


@given(SPENT, st.floats(0, 1e5))
def test_shares_sum_to_one_whatever_was_counted(spent: dict[Activity, int], mover_s: float) -> None:
    found = shares(Situation(10.0, mover_s, spent, 1))
    if mover_s == 0 and not any(spent.values()):
        assert found == {}
    else:
        assert sum(found.values()) == pytest.approx(1, abs=1e-9)
        assert all(0 <= share <= 1 for share in found.values())


def test_every_activity_has_a_cause() -> None:
    assert set(causes()) == set(Activity)
    found = shares(situation(percent={"target_write": 50, "sync": 21, "source_read": 18, "hash": 6}))
    assert found[Cause.TARGET_WRITE] == pytest.approx(0.71)
    assert found[Cause.OTHER] == pytest.approx(0.05)


def test_a_busy_target_is_the_bottleneck() -> None:
    now = situation(
        percent={"target_write": 71, "source_read": 18, "hash": 6}, target=DeviceLoad("sdc", busy=0.94),
    )  # fmt: skip
    found, _ = bottleneck(now)
    assert found is not None
    assert (found.cause, found.evidence) == ("target_write", "sdc busy 94%")
    view = where_time_goes(now)
    assert line(view.shares) == "target write 71% (sdc busy 94%) · source read 18% · hash 6%"
    assert view.why == "It is not faster because writing to the target takes 71% of the movers' time (sdc busy 94%)."
    assert sum(s.share for s in view.shares) == pytest.approx(1)


def test_evidence_decides_between_two_that_are_close() -> None:
    now = situation(percent={"target_write": 40, "source_read": 38}, source=DeviceLoad("sda", busy=0.99))
    found, _ = bottleneck(now)
    assert found is not None
    assert found.cause == "source_read"
    far = situation(percent={"target_write": 60, "source_read": 30}, source=DeviceLoad("sda", busy=0.99))
    found, _ = bottleneck(far)
    assert found is not None
    assert found.cause == "target_write"


def test_nothing_is_named_without_a_share() -> None:
    even = situation(percent={"target_write": 20, "source_read": 20, "hash": 20, "metadata": 20})
    found, reason = bottleneck(even)
    assert found is None
    assert "quarter" in reason
    assert why_not_faster(even).startswith("Nothing in particular")
    none = Situation(0.0, 0.0, {}, 0)
    assert bottleneck(none) == (None, "not measured yet")
    assert "not measured" in why_not_faster(none)


def test_a_slow_disk_and_a_full_processor_are_evidence() -> None:
    slow = situation(percent={"source_read": 80}, source=DeviceLoad("sdb", busy=0.5, await_s=0.09, usual_await_s=0.02))
    assert "sdb 90 ms a request, usually 20" in why_not_faster(slow)
    full = situation(percent={"hash": 60}, cpu_busy=0.97)
    assert "processor 97% busy" in why_not_faster(full)
    room = situation(percent={"source_read": 80}, source=DeviceLoad("sdb", busy=0.4))
    assert "sdb is busy only 40%" in why_not_faster(room)


def test_limits_and_holds_are_named() -> None:
    limited = situation(percent={"throttled": 63, "source_read": 20}, limits=Limits(io_bytes_per_s=50 << 20))
    assert why_not_faster(limited) == (
        "It is not faster because a limit of 50 MiB/s keeps the movers waiting 63% of their time."
    )
    own, of_all = Limits(io_bytes_per_s=50 << 20), Limits(io_bytes_per_s=2 << 20, io_ops_per_s=100.0)
    among = situation(percent={"throttled": 98}, limits=own, shared=of_all)
    assert "a share of 2 MiB/s of the limit for all and a share of 100 entries/s of the" in why_not_faster(among)
    assert suggestions(among) == ()  # to lift its own limit would bring nothing
    near = situation(percent={"throttled": 98}, limits=own, shared=Limits(io_bytes_per_s=60 << 20))
    assert suggestions(near)[0].gain_high == pytest.approx(0.2)
    assert suggestions(situation(percent={"throttled": 50}, limits=Limits(memory_bytes=1 << 30))) == ()
    assert "for all" not in why_not_faster(situation(percent={"throttled": 98}, limits=of_all, shared=own))
    hold = Hold("h1", HoldReason.USER, "ana", 0.0, note="backup first")
    assert why_not_faster(limited, [hold]) == "It stands still: ana paused it: backup first."
    short = Hold("h0", HoldReason.DEVICE, "engine", 0.0, until=30.0, note="read: EIO")
    told = why_not_faster(limited, [short, hold, short])  # what ends by itself is not what to wait for
    assert told == "It stands still: ana paused it: backup first (and 2 more holds)."


# --- suggestions -----------------------------------------------------------------------------------


@given(st.floats(0, 1))
def test_a_gain_is_what_is_left_of_the_time(share: float) -> None:
    low, high = gain(share)
    assert 0 <= low <= high
    assert high == pytest.approx(1 / (1 - min(share, 0.99)) - 1)


def test_lifting_a_limit_is_worth_its_share_or_what_the_disks_have_left() -> None:
    limited = situation(percent={"throttled": 50, "source_read": 20}, limits=Limits(io_bytes_per_s=50 << 20))
    (one,) = suggestions(limited)
    assert one.kind == "lift_limit"
    assert [one.gain_low, one.gain_high] == pytest.approx([1 / 3, 1.0])
    assert one.command == "throttle ID --off"
    near = situation(
        percent={"throttled": 50}, limits=Limits(io_bytes_per_s=50 << 20), target=DeviceLoad("sdc", busy=0.8)
    )  # fmt: skip
    assert suggestions(near)[0].gain_high == pytest.approx(0.25)
    assert suggestions(situation(percent={"throttled": 50})) == ()


def test_fewer_movers_on_a_rotating_disk_that_seeks() -> None:
    disk = DeviceLoad("sdc", busy=0.94, rotational=True, best_bytes_per_s=200e6, bytes_per_s=130e6)
    now = situation(percent={"target_write": 71, "source_read": 18}, target=disk)
    (one,) = suggestions(now)
    # f = 1 - 130/(200·0.94) = 0.3085; half of it goes with one of two movers; of 71 % of the time: 10.95 %.
    assert one.gain_high == pytest.approx(0.10952 / (1 - 0.10952), rel=1e-3)
    assert one.text == "workers 2→1"
    assert (round(100 * one.gain_low), round(100 * one.gain_high)) == (6, 12)
    assert one.command == "workers ID 1"
    unknown = DeviceLoad("sdc", busy=0.94, rotational=True)
    assert suggestions(situation(percent={"target_write": 71}, target=unknown)) == ()
    solid = DeviceLoad("sdc", busy=0.94, rotational=False, best_bytes_per_s=200e6, bytes_per_s=130e6)
    assert suggestions(situation(percent={"target_write": 71}, target=solid)) == ()
    alone = situation(movers=1, percent={"target_write": 71}, target=disk)
    assert suggestions(alone) == ()


def test_more_movers_only_where_all_have_room() -> None:
    percent = {"source_read": 50, "target_write": 30}
    source, target = DeviceLoad("a", busy=0.3), DeviceLoad("b", busy=0.5)
    now = situation(percent=percent, cpu_busy=0.3, source=source, target=target)
    (one,) = suggestions(now, max_movers=8)
    assert one.text == "workers 2→4"
    assert one.gain_high == pytest.approx(1.0)
    assert suggestions(now) == ()
    full = situation(percent=percent, cpu_busy=0.9, source=source, target=target)
    assert suggestions(full, max_movers=8) == ()
    unknown = situation(percent=percent, cpu_busy=0.3, source=source)
    assert suggestions(unknown, max_movers=8) == ()


def test_movers_without_work_want_larger_batches() -> None:
    percent = {"waiting": 40, "source_read": 30}
    (one,) = suggestions(situation(percent=percent, pending=100_000, most_entries=10))
    assert (one.kind, one.command) == ("larger_batches", "batch ID auto")
    assert "get 10 at once" in one.because
    assert suggestions(situation(percent=percent, pending=100_000)) == ()  # the daemon finds out what goes well
    assert suggestions(situation(percent=percent, pending=100_000, most_entries=10, scanning=True)) == ()
    assert suggestions(situation(percent=percent, pending=10, most_entries=10)) == ()


# --- one file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "kind", "part"),
    [
        (TaskFacts(TaskState.PENDING, before=412), "waiting", "behind 412 tasks"),
        (TaskFacts(TaskState.PENDING, before=0), "waiting", "next"),
        (TaskFacts(TaskState.PENDING), "waiting", "its turn"),
        (
            TaskFacts(TaskState.PENDING, before=4, holds=(HOT,)),
            "held", "engine holds it (thermal): sdd 58 °C",
        ),
        (
            TaskFacts(TaskState.RUNNING, mover=2, size=200, bytes_done=50),
            "in_hand", "Mover 2 has it in hand, 25% done",
        ),
        (
            TaskFacts(TaskState.RUNNING, mover=2, limits=Limits(io_bytes_per_s=1 << 20), throttled=0.9),
            "limited", "a limit of 1 MiB/s",
        ),
        (TaskFacts(TaskState.PENDING, handed=True), "in_hand", "A mover was given it, and comes to it after others."),
        (TaskFacts(TaskState.PENDING, copied=True), "copied", "waits for the sync"),
        (
            TaskFacts(TaskState.PENDING, before=1, limits=Limits(io_bytes_per_s=1 << 20), throttled=0.9),
            "waiting", "behind 1 task; movers mostly wait for a limit of 1 MiB/s.",
        ),
        (TaskFacts(TaskState.PENDING, leader="a/first"), "follows", "a/first"),
        (TaskFacts(TaskState.PENDING, attempts=2, fault="EBUSY", retry_at=1012.0), "waiting", "again in 12 s"),
        (TaskFacts(TaskState.FAILED, attempts=3, fault="EIO: Input/output error"), "failed", "after 3 attempts: EIO"),
        (TaskFacts(TaskState.SKIPPED, Outcome.EXISTS), "skipped", "something else"),
        (TaskFacts(TaskState.DONE, Outcome.REFLINKED), "done", "reflinked"),
        (TaskFacts(TaskState.CANCELLED), "cancelled", "cancelled"),
        (TaskFacts(TaskState.DURABLE, Outcome.COPIED), "waiting", "source waits to be removed"),
    ],
)  # fmt: skip
def test_why_a_file_is_where_it_is(facts: TaskFacts, kind: str, part: str) -> None:
    why = why_task(facts, 1000.0)
    assert why.kind == kind
    assert part in why.sentence


@given(st.sampled_from(TaskState), st.sampled_from(Outcome), st.booleans(), st.none() | st.integers(0, 9))
def test_there_is_always_a_sentence(state: TaskState, outcome: Outcome, held: bool, before: int | None) -> None:
    holds = (Hold("h1", HoldReason.USER, "ana", 0.0),) if held else ()
    why = why_task(TaskFacts(state, outcome, holds=holds, before=before), 0.0)
    assert why.sentence.endswith(".")
    ended = {TaskState.DONE, TaskState.SKIPPED, TaskState.FAILED, TaskState.CANCELLED}
    assert (why.kind == "held") == (held and state not in ended)
