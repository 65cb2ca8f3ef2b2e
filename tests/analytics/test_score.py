"""The score and its waterfall, against sums by hand and for any input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.score import Pace, Work, attainable, score, waterfall
from migmond.analytics.shares import Cause

SECONDS = st.floats(0, 1e6)
PACES = st.lists(st.builds(Pace, st.floats(0, 1), st.floats(0, 1e-6)), max_size=12)


def work(**more: object) -> Work:
    values: dict[str, object] = {
        "wall_s": 200.0, "active_s": 100.0, "done": 1000, "done_bytes": 10**9, "failed": 0, "moved_bytes": 10**9, **more
    }  # fmt: skip
    return Work(**values)  # type: ignore[arg-type]


EARLIER = [Pace(0.01, 5e-8)] * 3  # 10 s for the files and 50 s for the bytes


def test_the_formula_by_hand() -> None:
    found = score(work(cpu_s=30.0), EARLIER)
    assert found.ideal_s == pytest.approx(60)
    assert (found.speed, found.resources, found.success) == pytest.approx((60.0, 100.0, 100.0))
    assert found.score == pytest.approx(60)
    assert found.cpu_s_per_gb == pytest.approx(30)
    worse = score(work(failed=250, moved_bytes=1_250_000_000), EARLIER)
    assert (worse.speed, worse.resources, worse.success) == pytest.approx((60.0, 80.0, 80.0))
    assert worse.score == pytest.approx(60 * 0.8 * 0.8)


def test_the_best_decile_is_of_whole_runs() -> None:
    # By run: 1001 s, 501 s, and 100 s nine times. The best a beside the best b would be 2 s.
    earlier = [Pace(1.0, 1e-9), Pace(0.001, 5e-7), *[Pace(0.05, 5e-8)] * 9]
    assert attainable(1000, 10**9, earlier, None) == pytest.approx(100)
    assert attainable(1000, 10**9, EARLIER[:2], None) is None


def test_who_asked_for_less_speed_is_not_told_off() -> None:
    slow = work(active_s=1010.0, wall_s=1010.0, limit=1e6)
    found = score(slow, EARLIER)
    assert found.ideal_s == pytest.approx(10 + 1000)
    assert found.speed == pytest.approx(100)
    steps = {step.kind: step.seconds for step in found.waterfall}
    assert steps == pytest.approx({"needed": 60, "limit": 950})


def test_unknown_is_not_invented() -> None:
    found = score(work(), [])
    assert (found.score, found.speed, found.ideal_s) == (None, None, None)
    assert (found.resources, found.success) == (100, 100)
    assert "3 are needed" in found.reason
    nothing = score(work(done=0, done_bytes=0, moved_bytes=0), EARLIER)
    assert nothing.score is None
    assert nothing.reason == "nothing is done yet"


def test_the_waterfall_by_hand() -> None:
    shares = {Cause.THROTTLED: 0.1, Cause.WAITING: 0.05, Cause.SOURCE_READ: 0.25, Cause.TARGET_WRITE: 0.6}
    steps = {s.kind: s.seconds for s in waterfall(work(shares=shares), EARLIER)}
    # 200 wall: 100 held, 60 needed, of the 40 lost 10 throttled and 5 waiting, the other 25 by 25 : 60.
    assert steps == pytest.approx(
        {"held": 100, "needed": 60, "throttled": 10, "waiting": 5, "slow_source_read": 25 * 25 / 85,
         "slow_target_write": 25 * 60 / 85}
    )  # fmt: skip
    assert waterfall(work(shares=shares), EARLIER)[0].kind == "needed"
    ended = {s.kind: s.seconds for s in waterfall(work(shares=shares, held_s=97.0), EARLIER)}
    assert (ended["held"], ended["ends"]) == (97.0, 3.0)  # nobody held it while it began and ended


@given(
    SECONDS, SECONDS, st.integers(0, 10**7), st.integers(0, 10**14), st.integers(0, 100), st.integers(0, 10**14),
    st.none() | st.floats(1, 1e10), st.lists(st.floats(0, 1), min_size=len(Cause), max_size=len(Cause)), PACES,
)  # fmt: skip
def test_the_waterfall_sums_to_the_wall_time_and_scores_stay_in_bounds(
    active: float, held: float, done: int, size: int, failed: int, moved: int, limit: float | None,
    parts: list[float], earlier: list[Pace],
) -> None:  # fmt: skip
    whole = sum(parts)
    shares = {c: p / whole for c, p in zip(Cause, parts, strict=True)} if whole > 0 else {}
    shares.pop(Cause.HELD, None)  # of the active time
    given_work = Work(active + held, active, done, size if done else 0, failed, moved, None, limit, shares)
    found = score(given_work, earlier)
    assert sum(s.seconds for s in found.waterfall) == pytest.approx(active + held, rel=1e-6, abs=1e-6)
    assert all(s.seconds >= 0 for s in found.waterfall)
    for part in (found.score, found.speed, found.resources, found.success):
        assert part is None or 0 <= part <= 100 + 1e-9
    assert bool(found.reason) == (found.score is None)
