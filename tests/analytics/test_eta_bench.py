"""scripts/eta-bench: its scores against a plain recomputation, the traces it takes, and the goals on runs that nothing
was tuned on."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_calibration import Sample, calibration_samples, coverage, held_out, samples, table
from eta_formulas import FORMULAS, Cumulative, Ours, Prediction, Pv, Rclone, Rsync, hindsight, predictions
from eta_scores import MOST_ERROR, POINTS, Score, score, summary
from eta_traces import Malformed, Trace, read, written
from eta_worlds import FAMILIES, simulated
from migmond.analytics.calibration import QUANTILES
from migmond.analytics.measures import Shape, Tick

BENCH = Path(__file__).parents[2] / "scripts" / "eta-bench"
SEEDS = range(7000, 7002)
"""For tests alone: neither of the constants nor of the table of quantiles."""

MB = 10**6


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, check=False, timeout=100)


def plain(
    said: list[tuple[float, Prediction]], end: float, last_action: float
) -> tuple[list[float], list[bool], float]:
    """The score as anybody would compute it who has read the help."""
    errors, inside, jitter, before = [], [], 0.0, None
    last_action = last_action if last_action <= 0.9 * end else 0.0
    for percent in range(10, 91, 5):
        at = percent / 100 * end
        if at < last_action:
            continue
        told = [(t, p) for t, p in said if t <= at]
        if not told or told[-1][1].remaining is None:
            continue
        t, p = told[-1]
        assert p.remaining is not None
        errors.append(min(10.0, abs(p.remaining - (end - t)) / (end - t)))
        if p.low is not None and p.high is not None:
            inside.append(p.low <= end - t <= p.high)
        if before is not None:
            jitter += min(10.0, abs(t + p.remaining - before) / end)
        before = t + p.remaining
    return errors, inside, jitter


times = st.floats(0, 1e5)
prediction = st.builds(Prediction, st.none() | times, times, times)


@given(st.lists(st.tuples(st.floats(0, 1), prediction), max_size=60), st.floats(1, 1e6), st.floats(0, 1))
def test_scores_are_what_anybody_computes(said: list[tuple[float, Prediction]], end: float, action: float) -> None:
    ordered = sorted(((share * end, p) for share, p in said), key=lambda x: x[0])
    found = score(ordered, end, action * end)
    errors, inside, jitter = plain(ordered, end, action * end)
    assert found.errors == pytest.approx(errors)
    assert found.inside == inside
    assert found.jitter == pytest.approx(jitter)
    due = sum(point * end >= action * end for point in POINTS) or len(POINTS)
    assert found.unknown + len(errors) == due


def test_perfect_and_terrible_predictions_are_scored_as_such() -> None:
    perfect = score([(float(t), Prediction(100.0 - t, 99.0 - t, 101.0 - t)) for t in range(100)], 100.0)
    assert (max(perfect.errors), perfect.jitter, all(perfect.inside), perfect.unknown) == (0.0, 0.0, True, 0)
    terrible = score([(float(t), Prediction(1e9)) for t in range(100)], 100.0)
    assert set(terrible.errors) == {MOST_ERROR}
    both = summary([perfect, terrible, Score(unknown=17)])
    assert (both.traces, both.mape, both.median, both.coverage) == (2, 5.0, 5.0, 1.0)
    assert both.unknown == pytest.approx(1 / 3)
    nothing = summary([])
    assert (nothing.mape, nothing.coverage, nothing.unknown) == (None, None, 0.0)


def test_formulas_of_others_are_theirs() -> None:
    """Worked out by hand: 100 MB, 1 MB in each of 10 seconds, then 5 MB."""
    said = {}
    for make in (Cumulative, Rclone, Rsync, Pv):
        formula = make()
        formula.start(Shape(0, 100 * MB), [])
        for second in range(1, 12):
            formula.tick(Tick(float(second), 0, min(second, 10) * MB + (5 * MB if second == 11 else 0)))
        said[make.__name__] = formula.predict().remaining
    assert said["Cumulative"] == pytest.approx(85 / (15 / 11))
    assert said["Rclone"] == int(85 / ((5 + 10) / 11)), "an average of 11 so far, in whole seconds"
    assert said["Rsync"] == pytest.approx(85 / (8 / 4)), "from the second second of five"
    assert said["Pv"] == pytest.approx(85 / (15 / 11)), "its window is not full yet"


def test_traces_come_back_from_their_files(tmp_path: Path) -> None:
    trace = simulated("limits", 3)
    path = tmp_path / "one.jsonl"
    path.write_text(written(trace))
    back = read(path)
    assert (back.shape, back.history, back.ticks, back.end) == (trace.shape, trace.history, trace.ticks, trace.end)
    assert back.last_action == trace.last_action > 0
    assert predictions(back, Ours()) == predictions(trace, Ours())


@pytest.mark.parametrize("family", FAMILIES)
def test_simulated_runs_are_runs(family: str) -> None:
    trace = simulated(family, 1)
    assert simulated(family, 1) == trace
    assert simulated(family, 2) != trace
    last = Tick(0.0, 0, 0)
    for tick in trace.ticks:
        assert tick.t >= last.t
        assert tick.files >= last.files
        assert tick.bytes >= last.bytes
        last = tick
    assert (last.files, last.bytes, last.t) == (trace.shape.files, trace.shape.bytes, trace.end)


HEAD: dict[str, Any] = {"n_files": 100, "n_bytes": 100 * MB, "src": "a", "dst": "b", "transport": "c", "workers": 2}


def lines(head: dict[str, Any], ticks: list[dict[str, Any]], end: float) -> str:
    return "".join(json.dumps(one) + "\n" for one in [head, *ticks, {"end": end}])


def ticks_of(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"t": i, "files": i, "bytes": i * MB, "workers": 2, "limit": None} | more for i in range(1, count + 1)]


ODD = {
    "limit null": lines(HEAD, ticks_of(100), 100),
    "empty history": lines(HEAD | {"history": []}, ticks_of(100), 100),
    "no history that says anything": lines(HEAD | {"history": [{"a": 0, "b": None}, {}]}, ticks_of(100), 100),
    "long history": lines(HEAD | {"history": [{"a": 0.5, "b": 5e-7}] * 500}, ticks_of(100), 100),
    "empty files": lines(HEAD | {"n_bytes": 0}, ticks_of(100, bytes=0), 100),
    "one huge file": lines(HEAD | {"n_files": 1}, ticks_of(100, files=0), 101),
    "files unknown": lines(HEAD | {"n_files": None}, ticks_of(100), 100),
    "more than planned": lines(HEAD | {"n_files": 50, "n_bytes": 50 * MB}, ticks_of(100), 100),
    "grows": lines(HEAD | {"n_files": 10}, [t | {"n_files": 100, "n_bytes": 200 * MB} for t in ticks_of(100)], 100),
    "equal times": lines(HEAD, [t | {"t": t["t"] // 10} for t in ticks_of(100)], 10),
    "all at one time": lines(HEAD, ticks_of(5, t=3), 3),
    "no ticks": lines(HEAD, [], 1),
    "one tick": lines(HEAD, ticks_of(1), 1),
    "at once": lines(HEAD, [], 0),
    "workers change": lines(HEAD, [t | {"workers": t["t"] % 5} for t in ticks_of(100)], 100),
    "workers untold": lines(HEAD | {"workers": None}, ticks_of(100, workers=None), 100),
    "limits change": lines(HEAD, [t | {"limit": [None, 1, 1e12][t["t"] % 3]} for t in ticks_of(100)], 100),
    "nothing moves": lines(HEAD, ticks_of(100, files=0, bytes=0), 1000),
    "nothing planned": lines(HEAD | {"n_files": 0, "n_bytes": 0}, ticks_of(5, files=0, bytes=0), 9),
    "goes back": lines(HEAD, [t | {"bytes": t["bytes"] - 5 * MB * (t["t"] % 7 == 0)} for t in ticks_of(100)], 100),
}


def test_any_valid_trace_is_predicted_tick_by_tick(tmp_path: Path) -> None:
    for name, text in ODD.items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".hidden").write_text("no trace")
    done = bench("--traces", tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert set(found["traces"]) == set(ODD)
    for name, said in found["traces"].items():
        given_ticks = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()[1:-1]]
        assert [p["t"] for p in said] == [t["t"] for t in given_ticks]
        for p in said:
            assert set(p) == {"t", "remaining", "low", "high"}
            if p["remaining"] is not None:
                assert 0 <= p["low"] <= p["remaining"] <= p["high"] < math.inf
    assert all(p["remaining"] is not None for p in found["traces"]["limit null"])
    assert all(p["remaining"] is None for p in found["traces"]["nothing moves"])
    assert found["traces"]["one huge file"][49]["remaining"] == pytest.approx(50, rel=0.1)
    assert found["traces"]["empty files"][49]["remaining"] == pytest.approx(50, rel=0.1)
    assert found["traces"]["files unknown"][49]["remaining"] == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a header and a last line"),
        ("{}\n{}\n", "line 1: a header with `n_files`"),
        (lines(HEAD, ticks_of(2), 2) + "[]\n", "line 5: an object is expected"),
        (lines(HEAD, ticks_of(2), 2)[:-4], "line 4: no JSON"),
        (lines(HEAD, ticks_of(2, t=-1), 2), "line 2: `t` must be a number of at least 0"),
        (lines(HEAD, ticks_of(2, bytes="x"), 2), "line 2: `bytes` must be a number"),
        (lines(HEAD, ticks_of(2)[::-1], 2), "line 3: `t` goes back from 2 to 1"),
        (lines(HEAD, ticks_of(2), 1), "line 4: `end` 1 is before the last tick, 2"),
        (lines(HEAD, ticks_of(2), math.nan), "line 4: `end` must be a number"),
        (lines(HEAD | {"history": 3}, [], 1), "line 1: `history` must be a list"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(Malformed, match=complaint):
        read(path)


def test_a_malformed_file_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\xff\xfe\n{}\n")
    (tmp_path / "good").write_text(ODD["limit null"])
    done = bench("--traces", tmp_path, "--json")
    assert done.returncode == 2
    assert "bad, line 1: no JSON" in done.stderr
    assert list(json.loads(done.stdout)["traces"]) == ["good"]
    assert bench("--traces", tmp_path / "none").returncode == 2


@pytest.fixture(scope="module")
def held_back() -> list[Trace]:
    return [simulated(family, seed) for family in FAMILIES for seed in SEEDS]


def test_goals_are_met_on_runs_that_nothing_was_tuned_on(held_back: list[Trace]) -> None:
    found = {
        name: summary([score(predictions(t, make()), t.end, t.last_action) for t in held_back])
        for name, make in FORMULAS.items()
        if name in ("migmond", "rclone", "cumulative")
    }
    floor = summary([score(predictions(t, hindsight(t)), t.end, t.last_action) for t in held_back])
    ours, rclone = found["migmond"], found["rclone"]
    assert ours.mape is not None
    assert rclone.mape is not None
    assert floor.mape is not None
    assert ours.mape <= 0.20
    assert ours.mape <= rclone.mape / 4
    assert ours.median is not None
    assert ours.median <= 0.12
    assert ours.coverage is not None
    assert 0.85 <= ours.coverage <= 0.95
    assert ours.jitter is not None
    assert ours.jitter <= 0.9
    assert ours.unknown == 0
    assert floor.mape < ours.mape, "the floor knows the end"


def test_the_table_of_quantiles_is_right_for_runs_it_does_not_know(held_back: list[Trace]) -> None:
    found = [s for t in held_back for s in samples(t)]
    assert 0.85 <= coverage(QUANTILES, found) <= 0.96


def test_calibration_is_split_conformal() -> None:
    plain_samples = [Sample("nvme", bucket, float(z)) for bucket in range(6) for z in range(-99, 100)]
    (row, *_) = table(plain_samples)
    assert row[5] == 0.0
    assert row[1] == pytest.approx(-100 + 0.025 * 200)
    few = calibration_samples([6999])
    assert {s.family for s in few} == set(FAMILIES)
    each = held_out(few)
    assert 0.75 < statistics.fmean(each.values()) <= 1.0
