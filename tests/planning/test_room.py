"""Room: what is needed, against counting it the long way round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.execution import Tally, Totals
from migmond.domain.plan import ConflictPolicy
from migmond.domain.preflight import Need, Promise, TargetFacts
from migmond.planning.filesystems import Abilities
from migmond.planning.room import directory_need, file_need, outstanding, rooms, with_existing

BLOCKS = st.sampled_from([512, 1024, 4096, 65536])
SIZES = st.integers(0, 1 << 40)


def facts(device: int = 1, free: int = 0, block: int = 4096, **more: object) -> TargetFacts:
    values: dict[str, object] = {"free_inodes": 100, "total_inodes": 100, **more}
    return TargetFacts(
        free_bytes=free, total_bytes=1 << 40, name_max=255, file_system="ext4", read_only=False, writable=True,
        device=device, block_bytes=block, **values,  # type: ignore[arg-type]
    )  # fmt: skip


def blocks(size: int, block: int) -> int:
    """Bytes of the blocks that hold `size` bytes."""
    return sum(block for _ in range(0, size, block)) if size < 1 << 22 else (size + block - 1) // block * block


@given(SIZES, SIZES, BLOCKS, st.booleans(), st.booleans(), st.booleans())
def test_a_file_needs_between_its_blocks_and_its_size(
    size: int, allocated: int, block: int, holes: bool, compresses: bool, source_compresses: bool
) -> None:
    least, most = file_need(
        size, allocated, facts(block=block, compresses=compresses), Abilities(holes=holes),
        source_compresses=source_compresses,
    )  # fmt: skip
    full = blocks(size, block)
    assert 0 <= least <= most <= full
    assert least % block == most % block == 0
    if not holes:
        assert most == full
        assert compresses or least == full
    elif not source_compresses and allocated >= size:
        assert most == full
    if allocated == 0 and holes and not source_compresses:
        assert most <= block


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_directory_takes_a_block_at_least_where_it_takes_any(names: int, length: int) -> None:
    for takes in (True, False):
        least, most = directory_need(names, names * length, facts(), Abilities(directory_blocks=takes))
        assert least == (4096 if takes else 0)
        assert most >= max(4096, names * length)


@given(SIZES, st.sampled_from(ConflictPolicy), st.booleans())
def test_what_stays_needs_nothing(size: int, policy: ConflictPolicy, alike: bool) -> None:
    least, most = with_existing((size, size), policy, alike=alike)
    assert 0 <= least <= most <= size
    if policy in (ConflictPolicy.FAIL, ConflictPolicy.SKIP):
        assert most == 0
    if policy is ConflictPolicy.BACKUP and not alike:
        assert least == size


PROMISES = st.lists(
    st.builds(Promise, st.text(max_size=3), st.integers(1, 3), st.integers(0, 50), st.integers(0, 9), st.booleans()),
    max_size=5,
)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6), PROMISES)
def test_a_byte_is_given_away_once(targets: list[tuple[int, int, int]], promises: list[Promise]) -> None:
    free = {1: 40, 2: 80, 3: 0}
    given = [facts(device, free[device]) for device, _, _ in targets]
    needs = [Need(least, least + extra, 1, 1) for _, least, extra in targets]
    found = rooms(given, needs, promises)
    assert sorted(r.facts.device for r in found) == sorted({d for d, _, _ in targets})
    for room in found:
        device = room.facts.device
        wanted = sum(least for d, least, _ in targets if d == device)
        held = sum(p.bytes for p in promises if p.device == device and p.certain)
        fits = wanted == 0 or wanted <= max(0, free[device] - held)
        assert (room.short_bytes == 0) is fits
        assert room.short_bytes <= room.maybe_short_bytes


@given(SIZES, SIZES, SIZES, SIZES)
def test_what_is_left_shrinks_to_nothing(planned: int, spared: int, done: int, flying: int) -> None:
    planned_tally = Tally(10, planned)
    totals = Totals(planned=planned_tally, done=Tally(4, min(done, planned)), spared=min(spared, planned))
    left = outstanding(totals, Tally(2, flying))
    assert left.entries == 4
    assert 0 <= left.bytes <= planned - min(done, planned)
    assert outstanding(Totals(planned=planned_tally, done=planned_tally), Tally()) == Tally(0, 0)
    assert outstanding(Totals(planned=planned_tally), Tally()) == planned_tally
