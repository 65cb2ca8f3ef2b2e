"""The dashboard writes and reads values as migmond.domain.units does, on the command line and in reports."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from dashboard import module
from migmond.cli.render.execution import amounts, verification
from migmond.cli.render.text import clock
from migmond.domain import api
from migmond.domain.errors import InvalidInput
from migmond.domain.units import parse_size, show_amount, show_duration, show_energy, show_number, show_rate, show_size

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOWN = {"bytes": show_size, "rate": show_rate, "duration": show_duration, "number": show_number, "energy": show_energy}
UNITS = ("", "bytes", "bytes per second", "per second", "seconds", "ratio", "celsius", "joules", "files")
EDGES = (
    0, 1, 999, 999.5, 1000, 1023, 1024, 1025, 1125, 100.5 * 1024, 101.5 * 1024, 1.125 * 2**20, 1.135 * 2**20,
    999.4 * 2**20, 999.6 * 2**20, 1000 * 2**20, 99.95 * 2**30, 2.1 * 2**40, 2**53, 2**60, 5 * 2**60, 2**63,
    0.0004, 0.0005, 0.0042, 0.1, 0.25, 0.9994, 0.9995, 0.9999, 1.25, 1.35, 4.25, 9.94, 9.95, 10, 10.5, 11.5,
    59.4, 59.5, 60, 60.5, 61.5, 61, 599, 600, 3599, 3600, 3660, 7500, 172799, 172800, 176400, 1e7, 63.445,
    63.455, 999.97, 41.25, 41.35, 1e-7, 3.6e5, 3.6e6, 35.9e4,
)  # fmt: skip
"""Where a unit begins, and what is in the midst between two values of the last digit."""


@pytest.fixture(scope="module")
def page(browser_process: Browser) -> Iterator[Page]:
    """A page with nothing but the module."""
    with module(browser_process, "format.js") as one:
        yield one


@pytest.fixture(scope="module")
def remarks(browser_process: Browser) -> Iterator[Page]:
    with module(browser_process, "remarks.js") as one:
        yield one


def said(page: Page, calls: list[list[Any]]) -> list[Any]:
    """Return what the functions answer: each call is a name and its arguments."""
    found: list[Any] = page.evaluate("(calls) => calls.map(([name, ...given]) => window.module[name](...given))", calls)
    return found


def values() -> list[float]:
    """Edges, what is beside them, and a thousand of all magnitudes."""
    chance = random.Random(7)
    beside = [math.nextafter(v, to) for v in EDGES if v for to in (0.0, math.inf)]
    powers = [chance.uniform(1, 10) * 10.0 ** chance.randint(-5, 17) for _ in range(700)]
    binary = [
        chance.randint(1, 8000) / 8 * 2.0 ** chance.randint(0, 50) for _ in range(300)
    ]  # exact ties are common there
    return [*map(float, EDGES), *beside, *powers, *binary]


LEAST_MOST = {"celsius": (-273.0, 999.0), "joules": (0.0, math.inf)}
"""Between what values of a unit are."""


def exact(given: list[float]) -> list[float]:
    """Return those whose last digit a browser knows."""
    return [v for v in given if abs(v) * 100 < 2**53]  # 100: a ratio as percent


@pytest.mark.parametrize("name", SHOWN)
def test_values_are_written_alike(page: Page, name: str) -> None:
    given = values() if name in ("bytes", "rate") else exact(values())
    found = said(page, [[name, v] for v in given])
    wrong = [(v, text, SHOWN[name](v)) for v, text in zip(given, found, strict=True) if text != SHOWN[name](v)]
    assert wrong == []


@pytest.mark.parametrize("per_second", [False, True])
@pytest.mark.parametrize("unit", UNITS)
def test_measures_are_written_alike(page: Page, unit: str, *, per_second: bool) -> None:
    given = exact([*values(), *(-v for v in map(float, EDGES) if v)])
    least, most = LEAST_MOST.get(unit, (-math.inf, math.inf))
    given = [v for v in given if least <= v <= most]
    found = said(page, [["measure", v, unit, per_second] for v in given])
    expected = [show_amount(v, unit, per_second=per_second) for v in given]
    wrong = [(v, a, b) for v, a, b in zip(given, found, expected, strict=True) if a != b]
    assert wrong == []


def test_how_much_is_there_is_told_alike(page: Page) -> None:
    """What the target had already, and what is copied but not durable, were in the percentage but not beside it."""
    chance = random.Random(11)
    names = ("planned", "done", "failed", "skipped", "cancelled", "in_flight", "gone", "durable")
    unknown: dict[str, Any] = {
        "growing": False, "imperfect": 0, "percent_done": None, "bytes_per_s": None, "entries_per_s": None,
        "seconds_elapsed": 0.0, "seconds_remaining": None, "eta_reason": "",
    }  # fmt: skip
    tallies: list[dict[str, Any]] = [
        {name: api.TallyView(chance.randint(0, 9999), chance.randint(0, 1 << 45)) for name in names} for _ in range(50)
    ]
    told = [api.Progress(**unknown, **given) for given in tallies]
    calls = [["settled", msgspec.to_builtins(p), of] for p in told for of in ("bytes", "entries")]
    found = iter(said(page, calls))
    shown = [(size, entries, p.planned) for p, size, entries in zip(told, found, found, strict=True)]
    texts = [f"{show_size(s)} of {show_size(p.bytes)}, {n:,} of {p.entries:,} entries" for s, n, p in shown]
    assert texts == [amounts(p) for p in told]


@pytest.mark.parametrize("failure", ["", "the disk is gone"])
@pytest.mark.parametrize("unreadable", [0, 1, 1200])
@pytest.mark.parametrize("mismatches", [0, 1, 2000])
@pytest.mark.parametrize(("checked", "unhashed"), [(0, 0), (1, 0), (3000, 1), (3000, 1500)])
def test_what_a_verification_found_is_told_alike(
    remarks: Page, checked: int, unhashed: int, mismatches: int, unreadable: int, failure: str
) -> None:
    """The page had a button that verifies, and never said what was found."""
    at, looked_at = "2026-11-26T14:00:00+00:00", api.TallyView(checked, checked << 20)
    view = api.VerificationView(at, looked_at, unhashed, mismatches, (), failure, unreadable)
    assert said(remarks, [["verified", msgspec.to_builtins(view), clock(at)]]) == [verification(view)]


def test_what_is_not_known_is_a_dash(page: Page) -> None:
    names = [*SHOWN, "count", "percent", "ratio", "measure"]
    assert said(page, [[name, None] for name in names]) == ["–"] * len(names)


@pytest.mark.parametrize(
    "text",
    ["10MiB", "10MB", "1.5 GiB", "512B", "80Mbit", "1kb", "20 MiB/s", "3 eib", "5iB", "10 XiB", "1.2.3MB", "1e9B", ""],
)
def test_sizes_are_read_alike(page: Page, text: str) -> None:
    try:
        expected: int | None = parse_size(text.removesuffix("/s"))
    except InvalidInput:
        expected = None
    [found] = said(page, [["parsed", text]])
    assert (None if math.isnan(found) else float(found)) == expected


@pytest.mark.parametrize(("text", "value"), [("85 %", 0.85), ("0.5", 0.5), ("-3", -3), (" 12 ", 12)])
def test_thresholds_without_a_unit_are_read(page: Page, text: str, value: float) -> None:
    assert said(page, [["parsed", text]]) == [value]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s ago"), (0.6, "1 s ago"), (4.2, "4 s ago"), (59.6, "1 min ago"), (7500, "2 h 5 min ago")],
)
def test_ages_are_counted_in_whole_seconds(page: Page, seconds: float, text: str) -> None:
    assert said(page, [["ago", "1970-01-01T00:00:00Z", 1000 * seconds]]) == [text]


@pytest.mark.parametrize(("seconds", "text"), [(-0.472, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (60, "1 min")])
def test_what_is_counted_never_runs_backwards(page: Page, seconds: float, text: str) -> None:
    """A loss that was noticed after the last tick of the page's clock was `Not live for -472 ms`."""
    assert said(page, [["age", seconds]]) == [text]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/mnt/tank/video", "/mnt/tank/video"),
        ("/a/very/long/way/down/to/where/the/videos/are", "…/down/to/where/the/videos/are"),
        ("/" + "w" * 60, "…" + "w" * 31),
        ("/" + "w" * 60 + "/", "…" + "w" * 30 + "/"),
        ("/" + "\U0001f4c1" * 60, "…" + "\U0001f4c1" * 31),
    ],
)
def test_long_paths_are_told_by_their_ends(page: Page, path: str, text: str) -> None:
    assert said(page, [["tail", path]]) == [text]


@pytest.mark.parametrize(
    ("path", "sources", "text"),
    [
        ("/a/b/c", ["/a"], "b/c"),
        ("/a/b/c", ["/a", "/a/b/"], "c"),
        ("/a/b/c", ["/"], "a/b/c"),
        ("/ab/c", ["/a"], "/ab/c"),
    ],
)
def test_paths_are_told_from_the_innermost_source(page: Page, path: str, sources: list[str], text: str) -> None:
    assert said(page, [["below", path, sources]]) == [text]
