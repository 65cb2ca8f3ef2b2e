"""The circuit breaker against a naive one that keeps everything that ever happened."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migmond.recovery.breaker import AT_LEAST, BUCKETS, IN_A_ROW, LONGEST_FACTOR, SHARE, WINDOW_S, Breaker, State

OPEN_S = 30.0
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["fail"] * 4 + ["at once", "well", "many well", "lifted"]), st.floats(0, 50, allow_nan=False)
    ),
    max_size=200,
)


class Naive:
    """Remembers all outcomes since it was closed, and looks through all of them each time."""

    def __init__(self) -> None:
        self.state, self.until, self.probes, self.patience = State.CLOSED, 0.0, 0, 1
        self.outcomes: list[tuple[float, bool]] = []

    def open(self, now: float) -> None:
        self.state, self.until = State.OPEN, now + min(OPEN_S * LONGEST_FACTOR, OPEN_S * 2**self.probes)

    def close(self) -> None:
        self.state, self.outcomes, self.probes = State.CLOSED, [], 0

    def step(self, event: str, now: float) -> None:
        if event in ("fail", "at once"):
            if self.state is State.HALF_OPEN:
                self.probes += 1
                self.open(now)
            elif self.state is State.CLOSED:
                self.outcomes.append((now, False))
                if event == "at once" or self.too_many(now):
                    self.open(now)
        elif event in ("well", "many well"):
            self.patience = self.patience if self.state is State.OPEN else 1
            if self.state is State.HALF_OPEN:
                self.close()
            elif self.state is State.CLOSED:
                self.outcomes += [(now, True)] * (1 if event == "well" else 10)
        elif self.state is State.OPEN:
            if now >= self.until:
                self.state = State.HALF_OPEN
            else:
                self.close()
                self.patience *= 2

    def too_many(self, now: float) -> bool:
        row = 0
        for _, well in reversed(self.outcomes):
            if well:
                break
            row += 1
        width = WINDOW_S / BUCKETS
        recent = [well for at, well in self.outcomes if at // width > now // width - BUCKETS]
        bad = recent.count(False)
        return row >= IN_A_ROW * self.patience or (bad >= AT_LEAST and bad >= SHARE * len(recent))


@given(EVENTS)
def test_it_does_what_the_naive_one_does(events: list[tuple[str, float]]) -> None:
    breaker, naive, now = Breaker(OPEN_S), Naive(), 1000.0
    for event, seconds in events:
        now += seconds
        naive.step(event, now)
        match event:
            case "fail":
                assert breaker.failed(now) == (naive.state is State.OPEN)
            case "at once":
                assert breaker.failed(now, at_once=True)
            case "well" | "many well":
                breaker.succeeded(now, 1 if event == "well" else 10)
            case _:
                breaker.lifted(now)
        assert breaker.state is naive.state


def test_scattered_bad_files_hold_nothing_and_mostly_bad_ones_do() -> None:
    breaker = Breaker(OPEN_S)
    for i in range(10_000):
        if i % 5 == 0:
            assert not breaker.failed(i / 100)
        else:
            breaker.succeeded(i / 100)
    tries = 0
    for i in range(1000):  # three of four fail, never so many in a row
        now = 200 + i / 100
        if i % 4:
            tries += 1
            if breaker.failed(now):
                break
        else:
            breaker.succeeded(now)
    assert breaker.state is State.OPEN
    assert tries < 3 * AT_LEAST


def test_a_device_that_stays_away_is_asked_less_and_less_often() -> None:
    breaker, now, waits = Breaker(OPEN_S), 0.0, []
    for _ in range(IN_A_ROW):
        breaker.failed(now)
    for _ in range(8):
        waits.append(breaker.open_s)
        now += breaker.open_s
        breaker.lifted(now)
        assert breaker.state is State.HALF_OPEN
        assert breaker.failed(now)
    assert waits == [30, 60, 120, 240, 480, 600, 600, 600]
    steady = Breaker(OPEN_S, steady=True)
    steady.failed(0, at_once=True)
    steady.lifted(30)
    steady.failed(30)
    assert steady.open_s == OPEN_S


def test_a_person_who_lifts_the_hold_is_believed() -> None:
    breaker = Breaker(OPEN_S)
    breaker.failed(0, at_once=True)
    breaker.lifted(1)
    assert breaker.state is State.CLOSED
    assert not breaker.failed(2)
    breaker.failed(3, at_once=True)
    breaker.lifted(3 + OPEN_S - 0.1, slack_s=0.5)  # clocks differ a little: that was no person
    assert str(breaker.state) == "half-open"
