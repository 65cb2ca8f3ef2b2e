"""What may be asked for, what it is called, and how long things take then."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.api import SelectorSpec
from migmond.domain.errors import InvalidInput, LimitExceeded, PlanInfeasible
from migmond.domain.execution import Execution, Tally
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.plan import Plan, Source
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.domain.steering import (
    Action,
    BatchSize,
    Drain,
    Level,
    Pause,
    Place,
    Prioritise,
    Route,
    Skip,
    Standing,
    Throttle,
    Weight,
    Workers,
)
from migmond.domain.steering_api import ActionSpec, MoveSpec, PauseSpec, PrioritiseSpec, RouteSpec, SkipSpec
from migmond.planning.actions import MAX_SELECTOR, action_of, checked_for_s, refuse_too_many
from migmond.planning.effects import Pace, eta_with, eta_with_limits, with_change, with_standing
from migmond.planning.phrases import action_phrase, selector_phrase

PLAN = Plan("media", (Source(b"/src"),), b"/dst", limits=Limits(io_bytes_per_s=100))
EXECUTION = Execution("aaaaaa000000", 1, "media", PLAN, Identity(1, 1), ExecutionState.RUNNING, 0.0, limits=PLAN.limits)
VIDEO = SelectorSpec(types=("video",))
FREE = Pace(Tally(1000, 10_000), 50.0, 5.0, 200.0, "", 2)


@pytest.mark.parametrize(
    "spec",
    [
        Throttle(), Throttle(io_bytes_per_s=0), Throttle(cpu_percent=-1.0), Throttle(io_ops_per_s=math.nan),
        Throttle(io_ops_per_s=math.inf), Throttle(memory_bytes=2**63), Throttle(timetable="\x1b[2J"),
        Throttle(timetable="x" * 3000), Workers(0), Workers(-1), Workers(257), BatchSize(-1), BatchSize(4001),
        Weight(0.0), Weight(math.nan), Weight(1e9), SkipSpec(SelectorSpec()), PrioritiseSpec(SelectorSpec(), Level.LOW),
        SkipSpec(SelectorSpec(types=("no such",))), PauseSpec(SelectorSpec(include=("x" * (MAX_SELECTOR + 1),))),
        MoveSpec(VIDEO, Place.BEFORE), MoveSpec(VIDEO, Place.FIRST, "x"), RouteSpec(VIDEO, "relative"),
        RouteSpec(VIDEO, "/a/../src"), RouteSpec(VIDEO, "/dst"), RouteSpec(VIDEO, ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_what_to_do(spec: ActionSpec) -> None:
    with pytest.raises(InvalidInput) as e:
        action_of(spec, PLAN)
    assert e.value.message


@pytest.mark.parametrize("destination", ["/src", "/src/below", "//src/./x"])
def test_a_route_into_the_source_is_refused(destination: str) -> None:
    with pytest.raises(PlanInfeasible):
        action_of(RouteSpec(VIDEO, destination), PLAN)


def test_zero_says_use_pause() -> None:
    for spec in (Throttle(io_bytes_per_s=0), Workers(0), Weight(0.0)):
        with pytest.raises(InvalidInput) as e:
            action_of(spec, PLAN)
        assert "use pause" in e.value.hint


def test_what_makes_sense_is_what_it_says() -> None:
    video = Selector(types=("video",))
    made: list[tuple[ActionSpec, Action]] = [
        (SkipSpec(VIDEO), Skip(video)),
        (PauseSpec(), Pause()),
        (RouteSpec(SelectorSpec(), "/other//place/"), Route(Selector(), b"/other/place")),
        (PrioritiseSpec(VIDEO, Level.HIGH), Prioritise(video, Level.HIGH)),
        (Workers(4), Workers(4)),
        (Drain(), Drain()),
    ]
    for spec, action in made:
        assert action_of(spec, PLAN) == action
    assert checked_for_s(5.0, Pause()) == 5.0
    for for_s, action in ((0.0, Pause()), (math.nan, Workers(1)), (1e12, Workers(1)), (5.0, Drain())):
        with pytest.raises(InvalidInput):
            checked_for_s(for_s, action)


def test_what_is_in_force_stays_small_enough_for_every_transaction() -> None:
    execution, long = EXECUTION, Skip(Selector(include=("x" * MAX_SELECTOR,)))
    for i in range(15):
        refuse_too_many(execution, long)
        execution = with_change(execution, Standing(f"i-{i}", "ana", 0.0, None, "", long))
    execution = with_change(execution, Standing("i-16", "ana", 0.0, None, "", long))
    with pytest.raises(LimitExceeded, match="too long together"):
        refuse_too_many(execution, long)


@given(st.lists(st.sampled_from([None, 10, 50, 200, 10_000]), max_size=4), st.integers(0, 3))
def test_to_take_one_back_leaves_what_the_others_say(rates: list[int | None], gone: int) -> None:
    standing = tuple(
        Standing(f"i-{i}", "ana", 0.0, None, "", Throttle(io_bytes_per_s=rate)) for i, rate in enumerate(rates)
    )
    left = tuple(s for i, s in enumerate(standing) if i != gone)
    rest = [rate for i, rate in enumerate(rates) if i != gone]
    assert with_standing(EXECUTION, left).limits.io_bytes_per_s == (rest[-1] if rest else 100)


def test_limits_make_it_longer_as_far_as_can_be_told() -> None:
    none = Limits()
    assert eta_with_limits(none, Limits(io_bytes_per_s=1000), FREE, None).seconds == 200.0  # it is slower by itself
    assert eta_with_limits(none, Limits(io_bytes_per_s=25), FREE, None).seconds == 400.0
    assert eta_with_limits(none, Limits(io_bytes_per_s=25, io_ops_per_s=1.0), FREE, None).seconds == 1000.0
    # A fifth of 1000 s, of which a fifth is done then; the rest at 200 s for all of it.
    assert eta_with_limits(none, Limits(io_ops_per_s=1.0), FREE, 200.0).seconds == pytest.approx(200 + 200 * 0.8)
    held_back = eta_with_limits(Limits(io_bytes_per_s=50), Limits(io_bytes_per_s=500), FREE, None)
    assert (held_back.seconds, bool(held_back.reason)) == (None, True)
    not_held_back = eta_with_limits(Limits(io_bytes_per_s=500), none, FREE, None)
    assert not_held_back.seconds == 200.0


def test_what_is_skipped_is_not_waited_for() -> None:
    half = Tally(500, 5_000)
    assert eta_with(Skip(Selector()), EXECUTION, EXECUTION, half, FREE, None).seconds == pytest.approx(100.0)
    assert eta_with(Skip(Selector()), EXECUTION, EXECUTION, half, FREE, 101.0).seconds == pytest.approx(100.0)
    assert eta_with(Skip(Selector()), EXECUTION, EXECUTION, half, FREE, 99.0).seconds == 200.0  # it comes back before
    assert eta_with(Pause(), EXECUTION, EXECUTION, None, FREE, 60.0).seconds == 260.0
    assert eta_with(Pause(), EXECUTION, EXECUTION, None, FREE, None).seconds is None


@pytest.mark.parametrize("asked_before", [None, 3])
def test_as_many_workers_as_before_change_nothing(asked_before: int | None) -> None:
    standing = () if asked_before is None else (Standing("i-1", "ana", 0.0, None, "", Workers(asked_before)),)
    now = msgspec.structs.replace(EXECUTION, standing=standing)
    for count in (2, 3):
        action = Workers(count)
        then = with_standing(now, (*standing, Standing("i-2", "ana", 0.0, None, "", action)))
        eta = eta_with(action, now, then, None, FREE, None)
        same = count == (asked_before or FREE.workers)
        assert (eta.seconds, bool(eta.reason)) == ((FREE.eta_s, False) if same else (None, True))


def test_phrases() -> None:
    assert action_phrase(Throttle(io_bytes_per_s=50 << 20, cpu_percent=80)) == "throttle I/O 50 MiB/s, CPU 80%"
    assert action_phrase(Throttle(None, None, None, None, None, "")) == "throttle off"
    assert action_phrase(BatchSize(0)) == "batch auto"
    assert selector_phrase(Selector()) == "everything"
    everything = Selector(("*.a",), ("b*",), b"dir", 1 << 30, None, 3600.0, None, ("video",), ("failed",), ("EIO",))
    assert selector_phrase(everything) == (
        "'*.a', not 'b*', under dir, larger than 1 GiB, newer than 1 h, type video, state failed, error EIO"
    )
    assert len(selector_phrase(Selector(include=("x" * 5000,)))) <= 300
