"""The order in which a damaged file is read, against a naive map of every sector."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.recovery.salvage import BLOCKS, RESCUED, UNTRIED, MapUnusable, SalvageMap, parse
from migmond.recovery.salvage_pace import SalvagePace
from salvage_map import parse_map

SECTOR = BLOCKS[-1]
SIZES = st.integers(0, 3 * BLOCKS[0] + 5000)
BAD = st.sets(st.integers(0, 3 * BLOCKS[0] // SECTOR), max_size=12)


def run(
    size: int, bad: set[int], most: int = 1 << 30, known: SalvageMap | None = None
) -> tuple[SalvageMap, list[tuple[int, int, int]]]:
    found, tried = known or SalvageMap(size), list[tuple[int, int, int]]()
    for start, length, number in found.reads():
        if len(tried) >= most:
            break
        tried.append((start, length, number))
        sectors = range(start // SECTOR, -(-(start + length) // SECTOR))
        found.tell(start, length, number, rescued=not any(s in bad for s in sectors))
    return found, tried


@settings(max_examples=60, deadline=None)
@given(SIZES, BAD, st.integers(0, 40))
def test_everything_that_can_be_read_is_saved_and_nothing_is_tried_for_ever(size: int, bad: set[int], cut: int) -> None:
    found, tried = run(size, bad)
    for sector in range(-(-size // SECTOR)):
        at = sector * SECTOR
        (status,) = (r.status for r in found.ranges() if r.start <= at < r.start + r.size)
        assert status == ("-" if sector in bad else RESCUED)
    assert sum(r.size for r in found.ranges()) == size
    assert all(a.status != b.status for a, b in zip(found.ranges(), found.ranges()[1:], strict=False))
    assert len(set(tried)) == len(tried)
    assert [n for *_, n in tried] == sorted(n for *_, n in tried)
    blocks = -(-size // BLOCKS[0])
    failing = len({s * SECTOR // BLOCKS[0] for s in bad if s * SECTOR < size})
    assert len(tried) <= blocks + failing * (BLOCKS[0] // BLOCKS[1]) + len(bad) * (BLOCKS[1] // BLOCKS[2])
    text = found.text("migmon salvage \n evil", -7)
    assert parse_map(text) == found.ranges() == parse(text, size, -7).ranges()
    assert text.count("\n# current_pos") == 1
    begun, _ = run(size, bad, cut)  # time was over before
    for one in (found, begun):
        assert (one.rescued, one.untried) == (one.total(RESCUED), one.total(UNTRIED))
    assert begun.total(RESCUED) <= found.total(RESCUED)
    assert begun.total(UNTRIED) + sum(r.size for r in begun.ranges() if r.status != UNTRIED) == size


@settings(max_examples=60, deadline=None)
@given(SIZES, BAD, st.integers(0, 40), st.sets(st.integers(0, 3 * BLOCKS[0] // SECTOR), max_size=12))
def test_a_later_salvage_goes_on_and_tries_once_more_what_was_bad(
    size: int, bad: set[int], cut: int, bad_then: set[int]
) -> None:
    begun, _ = run(size, bad, cut)
    before = begun.ranges()
    known = parse(begun.text("migmon salvage", 7), size, 7)
    assert (known.rescued, known.untried) == (begun.rescued, begun.untried)
    found, tried = run(size, bad_then, known=known)
    rescued = [r for r in before if r.status == RESCUED]
    for start, length, _ in tried:  # nothing that is saved is read again
        assert not any(r.start < start + length and start < r.start + r.size for r in rescued)
    assert len(set(tried)) == len(tried)
    for sector in range(-(-size // SECTOR)):
        at = sector * SECTOR
        (status,) = (r.status for r in found.ranges() if r.start <= at < r.start + r.size)
        saved = any(r.start <= at < r.start + r.size for r in rescued)
        assert status == ("-" if sector in bad_then and not saved else RESCUED)
    assert (found.rescued, found.untried) == (found.total(RESCUED), 0)


def test_a_map_of_something_else_is_not_gone_on_with() -> None:
    whole = run(3 * BLOCKS[1], {5})[0].text("migmon salvage", 7)
    size = 3 * BLOCKS[1]
    assert parse(whole, size, 7).rescued == size - SECTOR
    with pytest.raises(MapUnusable, match="another version"):
        parse(whole, size, 8)
    with pytest.raises(MapUnusable, match="another version"):
        parse(whole, size + 1, 7)
    with pytest.raises(MapUnusable, match="which version"):
        parse(whole.replace("# Source", "# source"), size, 7)
    for damaged in (whole[:-5], whole.replace("  -\n", "  x\n"), whole.replace("  -\n", "\n"), whole + "0x0 0x10 +\n"):
        with pytest.raises(MapUnusable, match="damaged"):
            parse(damaged, size, 7)


def test_a_salvage_tells_its_pace_and_when_all_was_tried_once() -> None:
    pace, mib = SalvagePace(600.0, 0.0), 1 << 20
    first = pace.observe(100 * mib, 0, 100 * mib, 0.0)
    assert (first.failed, first.bytes_per_s, first.seconds_remaining) == (0, None, None)
    steady = pace.observe(100 * mib, 20 * mib, 80 * mib, 2.0)
    assert (steady.bytes_per_s, steady.seconds_remaining) == (10 * mib, 8.0)
    bad = pace.observe(100 * mib, 20 * mib, 76 * mib, 6.0)  # 4 MiB that cannot be read, at first
    assert bad.failed == 4 * mib
    assert bad.bytes_per_s == 20 * mib / 6
    assert bad.seconds_remaining == 76 / (24 / 6)
    done = pace.observe(100 * mib, 96 * mib, 0, 12.0)
    assert (done.failed, done.seconds_remaining) == (4 * mib, None)
    short = SalvagePace(10.0, 0.0)
    short.observe(100 * mib, 0, 100 * mib, 0.0)
    assert short.observe(100 * mib, mib, 99 * mib, 4.0).seconds_remaining == 6.0  # then time is over
