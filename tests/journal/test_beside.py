"""What is kept about tasks side by side, against a dict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.domain.changes import KeepKinds, PutExecution, Record
from migmond.domain.file_kinds import FileKind
from migmond.domain.states import TaskState
from migmond.domain.task import TaskResult
from migmond.plugin_api.conformance import entry, execution, listing, root
from migmond_sqlite import beside, open_journal
from migmond_sqlite.connections import run
from migmond_sqlite.database import open_writer
from migmond_sqlite.schema import NUMBER_BITS, NUMBER_MASK

BASES = [key << NUMBER_BITS for key in (1, 2, 3)]
NUMBERS = st.one_of(st.integers(1, 40), st.integers(250, 262), st.integers(1020, 1030), st.just(NUMBER_MASK))
COLUMNS = {
    "births": (beside.BIRTHS, st.integers(-(1 << 63), (1 << 63) - 1)),
    "kinds": (beside.KINDS, st.integers(0, 255)),
}


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    connection = open_writer(tmp_path_factory.mktemp("journal") / "journal.db")
    yield connection
    connection.close()


@pytest.mark.parametrize("which", COLUMNS)
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_it_keeps_what_a_dict_keeps(journal: apsw.Connection, which: str, data: st.DataObject) -> None:
    column, values = COLUMNS[which]
    run(journal, f"DELETE FROM {column.table}")
    kept: dict[int, dict[int, int]] = {base: {} for base in BASES}
    for _ in range(data.draw(st.integers(1, 6))):
        base = data.draw(st.sampled_from(BASES))
        if data.draw(st.booleans()):
            some = data.draw(st.lists(st.tuples(NUMBERS, values), max_size=9))
            beside.put(journal, column, base, some)
            kept[base] |= dict(some)
        else:
            after = base | data.draw(NUMBERS) if data.draw(st.booleans()) else base - 1
            beside.cut(journal, column, after, base | NUMBER_MASK)
            kept[base] = {n: value for n, value in kept[base].items() if base | n <= after}
        for its, wanted in kept.items():
            numbers = data.draw(st.lists(NUMBERS, unique=True)) + sorted(wanted)
            found = beside.get(journal, column, its, numbers)
            assert found == {n: wanted[n] for n in numbers if wanted.get(n)}


def test_a_row_is_as_long_as_what_is_kept_in_it(journal: apsw.Connection) -> None:
    for column, each in ((beside.BIRTHS, 8), (beside.KINDS, 1)):
        base = 9 << NUMBER_BITS
        for numbers, length in (([2, 3], 4), ([7], 8), ([2], 8)):
            beside.put(journal, column, base, [(n, 1) for n in numbers])
            assert run(journal, f"SELECT length(body) FROM {column.table} WHERE id=?", (base,)) == [(length * each,)]


def test_what_does_not_fit_is_refused_and_nothing_is_kept(journal: apsw.Connection) -> None:
    with pytest.raises(OverflowError):
        beside.put(journal, beside.KINDS, BASES[0], [(5000, 1), (5001, 256)])
    assert beside.get(journal, beside.KINDS, BASES[0], [5000, 5001]) == {}


async def test_what_was_kept_a_row_each_is_found_and_the_last_word_counts(tmp_path: Path) -> None:
    """As versions before did, and one does that is put back for a while."""
    birth, kind = "INSERT OR REPLACE INTO birth VALUES (?,?)", "INSERT OR REPLACE INTO file_kind VALUES (?,?)"
    base, ancient = 1 << NUMBER_BITS, -(1 << 70)
    async with open_journal(tmp_path) as journal:
        await journal.apply([PutExecution(execution()), root(), listing(1, 2, *[entry(b"%d" % i) for i in range(4)])])
    connection = open_writer(tmp_path / "journal.db")
    for number in (2, 3):
        run(connection, birth, (base | number, 10 + number))
        run(connection, kind, (base | number, int(FileKind.AUDIO)))
    connection.close()
    async with open_journal(tmp_path) as journal:
        assert await journal.births(1, [1, 2, 3, 4]) == {2: 12, 3: 13}
        assert await journal.kinds(1, [1, 2, 3, 4]) == {2: FileKind.AUDIO, 3: FileKind.AUDIO}
        await journal.apply([KeepKinds(1, {3: FileKind.OTHER, 4: FileKind.TEXT})])
        for times in ({3: 99, 4: ancient}, {3: ancient, 5: 7}, {4: 8}):
            results = tuple(TaskResult(n, TaskState.DONE, birth_ns=at) for n, at in times.items())
            await journal.apply([Record(1, results)])
        assert await journal.kinds(1, [2, 3, 4]) == {2: FileKind.AUDIO, 3: FileKind.OTHER, 4: FileKind.TEXT}
        assert await journal.births(1, [2, 3, 4, 5]) == {2: 12, 3: ancient, 4: 8, 5: 7}
