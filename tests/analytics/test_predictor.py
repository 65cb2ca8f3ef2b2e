"""The predictor: what it learns, what it takes from those who know, and what it does not claim to know."""

from __future__ import annotations

import itertools
import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.analytics.measures import Cost, Forecast, LimitStep, Shape, SpeedChange, Tick, Unknown
from migmond.analytics.predictor import STALL_S, Predictor
from migmond.analytics.prior import CLASS_SD, FLOOR_SD_A, prior

MB = 10**6
LIKE_THIS = [Cost(0.01, 1e-8)] * 4
"""History: a file takes 10 ms, and 100 MB a second."""


def told(predictor: Predictor, level: float = 0.8, ahead: tuple[LimitStep, ...] = ()) -> Forecast:
    forecast = predictor.forecast(level, ahead)
    assert isinstance(forecast, Forecast), forecast
    return forecast


def steady(
    predictor: Predictor, first: int, last: int, rate: int, limit: float | None = None, workers: int = 1
) -> None:
    """Ticks of whole seconds from `first` to `last`, so that `rate` bytes are copied in each."""
    done = predictor._state.bytes
    for second in range(first, last):
        done += rate
        predictor.tick(Tick(float(second + 1), 0, done, workers, limit))


def test_a_steady_run_is_foreseen_exactly_and_explained() -> None:
    predictor = Predictor(Shape(0, 1000 * 50 * MB))
    steady(predictor, 0, 200, 50 * MB)
    forecast = told(predictor)
    assert forecast.remaining_s == pytest.approx(800, rel=0.03)
    assert forecast.low_s < 800 < forecast.high_s
    assert forecast.wall_s == forecast.remaining_s
    assert forecast.within_20 > 0.6
    explained = forecast.files_left * forecast.file_s + forecast.bytes_left * forecast.byte_s
    assert explained == pytest.approx(forecast.remaining_s, rel=0.02)


def test_two_costs_are_told_apart() -> None:
    """First large files, then small ones: who looks at bytes alone is wrong by far."""
    predictor = Predictor(Shape(20_000, 10_000 * MB), [Cost(0.02, 0.7e-8)])
    t, files, size = 0.0, 0, 0
    rng = random.Random(1)
    for _ in range(100):
        n, length = rng.choice([(1, 60 * MB), (100, 1 * MB)])
        files, size, t = files + n, size + length, t + n * 0.01 + length * 1e-8
        predictor.tick(Tick(t, files, size))
    true = (20_000 - files) * 0.01 + (10_000 * MB - size) * 1e-8
    assert told(predictor).remaining_s == pytest.approx(true, rel=0.06)
    assert predictor.cost.a == pytest.approx(0.01, rel=0.25), "it began at 0.02"


@settings(max_examples=60)
@given(st.floats(-CLASS_SD, CLASS_SD), st.floats(-CLASS_SD, CLASS_SD), st.integers(0, 10**6))
def test_costs_are_found_from_any_guess_that_is_as_good_as_it_claims(off_a: float, off_b: float, seed: int) -> None:
    """Against the only oracle that matters: costs that are known, of devices that are not, without noise."""
    guess, rng = prior(Shape(1, 1, "some", "thing"), []), random.Random(seed)
    a, b = math.exp(guess.log_a + off_a), math.exp(guess.log_b + off_b)
    pieces = [rng.random() for _ in range(400)]
    work = [(round(share * 2.0 / a), round((1 - share) * 2.0 / b)) for share in pieces]
    predictor = Predictor(Shape(sum(n for n, _ in work), sum(size for _, size in work), "some", "thing"))
    t, files, size = 0.0, 0, 0
    for n, length in work[:200]:
        t, files, size = t + n * a + length * b, files + n, size + length
        predictor.tick(Tick(t, files, size))
    true = sum(n * a + length * b for n, length in work[200:])
    assert told(predictor).remaining_s == pytest.approx(true, rel=0.2)
    assert 0.45 < predictor.cost.a / a < 2.2
    assert 0.45 < predictor.cost.b / b < 2.2


def test_history_is_the_first_guess() -> None:
    predictor = Predictor(Shape(1000, 1000 * MB), LIKE_THIS)
    assert told(predictor).remaining_s == pytest.approx(20, rel=0.05), "before anything was done"
    predictor.tick(Tick(0.0, 0, 0))
    assert told(predictor).remaining_s == pytest.approx(20, rel=0.05)


def test_a_prior_is_the_geometric_mean_and_leaves_out_what_says_nothing() -> None:
    found = prior(Shape(1, 1), [Cost(0.001, 0.0), Cost(0.1, 1e-8), Cost(0.0, math.inf), Cost(-1.0, math.nan)])
    assert math.exp(found.log_a) == pytest.approx(0.01)
    assert found.sd_a > 2, "two runs that differ by a factor of 100 are no certainty"
    assert math.exp(found.log_b) == pytest.approx(1e-8)
    assert found.runs == 2
    assert prior(Shape(1, 1), []).sd_a == CLASS_SD
    assert FLOOR_SD_A < prior(Shape(1, 1), LIKE_THIS * 10).sd_a < FLOOR_SD_A * 1.02


def test_slower_devices_are_guessed_slower() -> None:
    costs = [math.exp(prior(Shape(1, 1, "nvme", word), []).log_b) for word in ("nvme", "ssd", "hdd", "usb")]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4


def test_unknown_has_a_reason() -> None:
    predictor = Predictor(Shape(10, 10 * MB))
    assert predictor.forecast() == Unknown("nothing was measured yet, and no similar run is known")
    predictor.tick(Tick(1.0, 1, MB), growing=True)
    assert predictor.forecast() == Unknown("still scanning")
    predictor.tick(Tick(2.0, 2, 2 * MB))
    assert isinstance(predictor.forecast(), Forecast)
    assert predictor.forecast(ahead=(LimitStep(1.0, held=True),)) == Unknown(
        "it is held, and nobody has said until when"
    )
    predictor.tick(Tick(3.0 + STALL_S, 2, 2 * MB))
    stalled = predictor.forecast()
    assert stalled == Unknown("nothing was settled for 10 min")
    assert Predictor(Shape(0, 0), LIKE_THIS).forecast() == Unknown("nothing is planned")


@pytest.mark.parametrize("growing", [False, True])
def test_the_time_of_a_scan_is_no_cost_of_copies(growing: bool) -> None:
    """Movers listed the source for half a minute, and copied a little; from then on 50 MB a second are copied."""
    predictor = Predictor(Shape(0, 5000 * MB), [Cost(0.0, 2e-8)] * 2)
    if growing:
        for second in range(1, 31):
            predictor.tick(Tick(float(second), 0, second * MB), growing=True)
    else:
        predictor.tick(Tick(30.0, 0, 30 * MB))
    for second in range(31, 34):
        predictor.tick(Tick(float(second), 0, (second - 30) * 50 * MB + 30 * MB))
    assert told(predictor).remaining_s == pytest.approx((5000 - 180) / 50, rel=0.05)


def test_a_stall_makes_the_end_later_and_the_band_wider() -> None:
    predictor = Predictor(Shape(0, 1000 * 50 * MB))
    steady(predictor, 0, 200, 50 * MB)
    before = told(predictor)
    predictor.tick(Tick(400.0, 0, 200 * 50 * MB))
    after = told(predictor)
    assert after.remaining_s == pytest.approx(before.remaining_s, rel=0.04), "what is left has not become less"
    assert after.high_s - after.low_s > 1.2 * (before.high_s - before.low_s)


def test_what_goes_back_stands_still() -> None:
    predictor = Predictor(Shape(100, 100 * MB), LIKE_THIS)
    predictor.tick(Tick(1.0, 50, 50 * MB))
    before = told(predictor)
    for tick in (Tick(0.5, 50, 50 * MB), Tick(1.0, 20, 50 * MB), Tick(1.0, 50, MB), Tick(1.0, 50, 50 * MB)):
        predictor.tick(tick)
        assert told(predictor) == before


def test_a_limit_is_known_at_once_and_forgotten_when_it_is_lifted() -> None:
    predictor = Predictor(Shape(0, 1000 * 50 * MB))
    steady(predictor, 0, 100, 50 * MB)
    free = told(predictor).remaining_s
    predictor.tick(Tick(101.0, 0, 5010 * MB, 1, 10.0 * MB))
    assert told(predictor).remaining_s == pytest.approx((50_000 - 5_010) / 10, rel=0.03)
    steady(predictor, 101, 400, 10 * MB, limit=10.0 * MB)
    limited = told(predictor)
    assert limited.remaining_s == pytest.approx((50_000 - 8_000) / 10, rel=0.03)
    predictor.tick(Tick(401.0, 0, 8010 * MB))
    assert told(predictor).remaining_s == pytest.approx(free * 42 / 45, rel=0.05)


def test_a_limit_that_does_not_bind_changes_nothing() -> None:
    predictor = Predictor(Shape(0, 1000 * 50 * MB))
    steady(predictor, 0, 100, 50 * MB)
    before = told(predictor).remaining_s
    predictor.tick(Tick(101.0, 0, 5050 * MB, 1, 500.0 * MB))
    assert told(predictor).remaining_s == pytest.approx(before - 1, rel=0.03)


def test_a_limit_that_the_devices_do_not_reach_is_not_believed_for_ever() -> None:
    predictor = Predictor(Shape(0, 10_000 * MB), [Cost(0.01, 1e-9)] * 3)
    steady(predictor, 0, 200, 10 * MB, limit=100.0 * MB)
    assert told(predictor).remaining_s == pytest.approx(800, rel=0.15)


@pytest.mark.parametrize("sway", [0.0, 0.03])
def test_a_limit_that_is_not_reached_is_not_blamed_on_files(sway: float) -> None:
    """Large files come first, under a share of a limit for all that is another one at every look, and is not needed."""
    predictor = Predictor(Shape(2_000, 400 * MB, "memory", "unknown"))
    for look in range(4 * 300):
        share = 2.0 * MB * (1 + sway * math.sin(look))
        predictor.tick(Tick((look + 1) / 4, 0, (look + 1) * MB // 4, 1, share))
    assert told(predictor).remaining_s == pytest.approx(100, rel=0.15)


@pytest.mark.parametrize("history", [[], LIKE_THIS])
@pytest.mark.parametrize("rate", [10_000, 20_000, 40_000])
def test_a_first_share_that_is_small_is_no_property_of_the_devices(history: list[Cost], rate: int) -> None:
    """It may be a fiftieth of the fair one, and be kept to only after a while: movers had a piece in hand."""
    predictor = Predictor(Shape(0, 40 * MB), history)
    for second in range(200):
        predictor.tick(Tick(float(second + 1), 0, (second + 1) * rate, 1, 10_000.0))
    predictor.tick(Tick(201.0, 0, 200 * rate, 1, 1e6))
    assert told(predictor).remaining_s == pytest.approx(40 - rate / 5000, rel=0.1)


def test_more_workers_help_less_than_their_number() -> None:
    predictor = Predictor(Shape(0, 1000 * 50 * MB))
    steady(predictor, 0, 100, 50 * MB)
    before, width = told(predictor), predictor.spread()
    predictor.tick(Tick(101.0, 0, 5050 * MB, 4))
    assert told(predictor).remaining_s == pytest.approx(before.remaining_s / 2, rel=0.04)
    assert predictor.spread() > width


def test_a_timetable_is_integrated_over_as_by_walking_through_it() -> None:
    ahead = (
        LimitStep(100.0, 10.0 * MB),
        LimitStep(300.0, held=True),
        LimitStep(1000.0, 25.0 * MB),
        LimitStep(1100.0),
    )
    predictor = Predictor(Shape(0, 1000 * 50 * MB))
    steady(predictor, 0, 100, 50 * MB)
    forecast = told(predictor, ahead=ahead)
    left, wall, active, rate = 900 * 50.0 * MB, 0.0, 0.0, 50.0 * MB
    while left > 0:
        step = max((s for s in ahead if s.after_s <= wall), key=lambda s: s.after_s, default=LimitStep(0.0))
        if not step.held:
            left -= min(rate, step.limit or rate)
            active += 1
        wall += 1
    assert forecast.wall_s == pytest.approx(wall, rel=0.03)
    assert forecast.remaining_s == pytest.approx(active, rel=0.03)
    assert forecast.wall_s - forecast.remaining_s == pytest.approx(700)
    assert forecast.low_s < forecast.remaining_s < forecast.high_s


def test_a_hold_now_is_a_step_at_0() -> None:
    predictor = Predictor(Shape(0, 1000 * 50 * MB))
    steady(predictor, 0, 100, 50 * MB)
    plain = told(predictor)
    forecast = told(predictor, ahead=(LimitStep(0.0, held=True), LimitStep(60.0)))
    assert forecast.remaining_s == pytest.approx(plain.remaining_s)
    assert forecast.wall_s == pytest.approx(plain.remaining_s + 60)


def test_a_change_of_speed_is_noted_once() -> None:
    predictor = Predictor(Shape(0, 1000 * 50 * MB))
    steady(predictor, 0, 200, 50 * MB)
    changes: list[SpeedChange] = []
    done = 200 * 50 * MB
    for second in range(200, 500):
        done += 20 * MB
        change = predictor.tick(Tick(second + 1.0, 0, done))
        changes += [change] if change else []
    assert 0.3 < changes[0].factor < 0.6
    assert 200 < changes[0].t < 400
    assert all(c.factor < 1 for c in changes)
    assert len(changes) <= 3
    assert told(predictor).remaining_s == pytest.approx((50_000 - 16_000) / 20, rel=0.15)


def test_a_cliff_that_most_earlier_runs_met_is_foreseen() -> None:
    met = [Cost(0.01, 2e-8, 10_000.0 * MB, 3.0), Cost(0.01, 2e-8, 11_000.0 * MB, 3.2)]
    shape = Shape(0, 20_000 * MB)
    steps = {}
    for name, history in (("met", met), ("half of them", [*met, *LIKE_THIS[:2]]), ("not", LIKE_THIS)):
        predictor = Predictor(shape, [Cost(c.a, 2e-8, c.cliff_bytes, c.slowdown) for c in history])
        steady(predictor, 0, 100, 50 * MB)
        steps[name] = told(predictor).remaining_s
    assert steps["not"] == pytest.approx(300, rel=0.05)
    assert steps["half of them"] == steps["not"]
    assert steps["met"] == pytest.approx((5_500 + 3.1 * 9_500) / 50, rel=0.05)
    predictor = Predictor(shape, met)
    steady(predictor, 0, 210, 50 * MB)
    steady(predictor, 210, 230, 16 * MB)
    assert told(predictor).remaining_s == pytest.approx((9_500 - 20 * 16) / 16, rel=0.06), "it is past the cliff now"


def test_a_plan_that_grows_has_more_left() -> None:
    predictor = Predictor(Shape(0, 100 * MB), LIKE_THIS)
    predictor.tick(Tick(1.0, 0, 50 * MB, planned_bytes=1000 * MB))
    assert told(predictor).bytes_left == 950 * MB
    assert told(predictor).remaining_s > 9


counts = st.integers(0, 10**13)
steps = st.tuples(
    st.floats(0, 1e4), st.integers(0, 10**5), st.integers(0, 10**11), st.integers(0, 64), st.none() | st.floats(1, 1e12)
)
histories = st.lists(st.builds(Cost, st.floats(0, 10), st.floats(0, 1e-3), st.none() | st.floats(0, 1e13)), max_size=5)


def ticks(found: list[tuple[float, int, int, int, float | None]]) -> list[Tick]:
    sums = itertools.accumulate(found, lambda x, y: (x[0] + y[0], x[1] + y[1], x[2] + y[2], y[3], y[4]))
    return [Tick(*one) for one in sums]


@given(st.integers(0, 10**7), counts, histories, st.lists(steps, max_size=40), st.integers(0, 40))
def test_any_run_has_sound_bands_and_goes_on_after_a_restart(
    files: int, size: int, history: list[Cost], found: list[tuple[float, int, int, int, float | None]], cut: int
) -> None:
    going = Predictor(Shape(files, size, "hdd", "nfs", "x", 2), history)
    restarted = Predictor(Shape(files, size, "hdd", "nfs", "x", 2), history)
    for number, tick in enumerate(ticks(found)):
        if number == cut:
            restarted = Predictor.restored(restarted.snapshot())
        assert going.tick(tick) == restarted.tick(tick)
        forecast = going.forecast(0.8)
        assert forecast == restarted.forecast(0.8)
        if isinstance(forecast, Unknown):
            assert forecast.reason
            continue
        wider = told(going, 0.95)
        assert 0 <= wider.low_s <= forecast.low_s <= forecast.remaining_s <= forecast.high_s <= wider.high_s < math.inf
        assert 0 <= forecast.within_20 <= 1
        if tick.files >= files and tick.bytes >= size:
            assert forecast.remaining_s == 0


def test_a_snapshot_of_something_else_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        Predictor.restored(b"\x81\xa1x\x01")
    assert len(Predictor(Shape(1, 1), LIKE_THIS).snapshot()) < 1200
