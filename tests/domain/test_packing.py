"""Every number comes through, however large, in whatever message it is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.entry import EntryType, Lost
from migmond.domain.fault import Fault, Phase
from migmond.domain.packing import Unpacker, pack
from migmond.domain.states import Outcome
from migmond.domain.task import CommitGroup, Entry, Listing, Member
from migmond.wire.from_mover import Copied, DirectoriesMade, FromMover, Scanned, Synced
from migmond.wire.items import CopyResult, DirectoryItem, ItemFault, Seen
from migmond.wire.to_mover import MakeDirectories, ToMover

TIMES = st.integers(-(1 << 63) * 10**9, (1 << 63) * 10**9)
NAMES = st.binary(max_size=20)
LOST = st.integers(0, 2047).map(Lost)

FAULTS = st.builds(Fault, st.sampled_from(Phase), st.just("EIO"), st.integers(0, 200), st.text(max_size=9))
ENTRIES = st.builds(
    Entry, NAMES, st.sampled_from(EntryType), st.integers(0, 1 << 62), TIMES, TIMES, st.just(1), st.just(2)
)
LISTINGS = st.builds(
    Listing, st.just(1), st.just(2), st.just(3), st.lists(ENTRIES, max_size=4).map(tuple),
    st.dictionaries(st.integers(0, 9), st.sampled_from(Outcome)), st.booleans(),
)  # fmt: skip
SEEN = st.builds(Seen, st.just(1), TIMES, TIMES, st.just(1), st.just(1))
RESULTS = st.builds(
    CopyResult, st.just(1), st.just(1), st.sampled_from(Outcome), LOST, st.none() | NAMES, st.just(7), st.just(8),
    st.none() | FAULTS, st.none() | SEEN, TIMES,
)  # fmt: skip
MESSAGES = (
    st.builds(Scanned, st.lists(LISTINGS, max_size=3).map(tuple))
    | st.builds(Copied, st.just(1), st.lists(RESULTS, max_size=3).map(tuple))
    | st.builds(DirectoriesMade, st.just(1), st.just(()), st.dictionaries(TIMES, LOST))
    | st.builds(
        Synced, st.just(1), st.just(()), st.lists(TIMES).map(tuple),
        st.dictionaries(st.just(4), st.lists(st.builds(ItemFault, st.just(3), FAULTS)).map(tuple)),
    )
)  # fmt: skip


@given(MESSAGES)
def test_what_a_mover_says_comes_through(message: FromMover) -> None:
    unpacker: Unpacker[FromMover] = Unpacker(FromMover)
    assert unpacker.unpack(pack(message)) == message


@given(TIMES, NAMES)
def test_what_a_mover_is_told_comes_through(time_ns: int, path: bytes) -> None:
    message = MakeDirectories(1, (DirectoryItem(1, 0, path, time_ns, 5),))
    unpacker: Unpacker[ToMover] = Unpacker(ToMover)
    assert unpacker.unpack(pack(message)) == message


@given(TIMES, LOST, st.none() | NAMES)
def test_what_the_journal_keeps_packed_comes_through(time_ns: int, lost: Lost, digest: bytes | None) -> None:
    group = CommitGroup(1, (Member(2, 3, Outcome.COPIED, lost, digest, 4, time_ns),))
    unpacker: Unpacker[CommitGroup] = Unpacker(CommitGroup)
    assert unpacker.unpack(pack(group)) == group


@pytest.mark.parametrize("time_ns", [-(1 << 63), (1 << 64) - 1])
def test_what_msgpack_holds_is_msgpack(time_ns: int) -> None:
    """Journals that older versions wrote are read, and theirs are read by them."""
    group = CommitGroup(1, (Member(2, 3, Outcome.COPIED, Lost.NOTHING, b"d", 4, time_ns),))
    assert pack(group) == msgspec.msgpack.encode(group)
