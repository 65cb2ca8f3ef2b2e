"""Progress by kind of file × size × directory: counted as it happens, in bounded memory, and to the byte.

A directory here is a source, or one or two steps below it: whatever lies deeper counts with the second one, and an
entry counts with the directory that it lies in (a source itself with itself). They are known by the number of their
task, so that no paths are kept. There may be millions of them: at most `most` are told apart, and when one more comes,
the smaller half of them is merged into "other", for good. Directories that come first have no advantage by that, as
they would if the first so many stayed: what is merged is smaller than half of all that are told apart at that time, so
whoever holds more than 2 / (most / 2) of everything found so far (the sum of its shares of the entries and of the
bytes) stays. The idea is that of Misra and Gries, "Finding repeated elements" (1982), but nothing is subtracted: sums
stay exact.

Every change is the addition of whole numbers to cells, so the sums over any part are exact at any time, and a cube
whose counting begins later can be completed by adding (see `recount`). Entries and bytes are one number: entries << 96
plus bytes; one addition does for both. Three empty files of 8 EiB, which anybody can make, are more than 64 bits hold.

Files whose names do not tell what they are count as unknown until their content was read (`read`): from then on they
are of the kind that it told, wherever they are counted.

Memory: `most` × 96 cells × 6 fields × 8 bytes (2.4 MB) and 40 bytes for each number that is not 0; one bit for each
task number up to the last directory that was merged (1.25 MB at 10^7); 16 bytes for each listing that has directories
in it and does not follow one of the same directory. Sources are walked depth first, so these are few. And one byte
for each task (10 MB at 10^7), and another one up to the last one whose content told its kind.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from migmond.analytics.classes import (
    CELLS,
    OTHER_KIND,
    SIZE_BOUNDS,
    SIZES,
    UNKNOWN,
    CellsOfNames,
    cell_of_kind,
    cells_of_no_files,
)
from migmond.analytics.cube_directories import BYTES, OTHER, SHIFT, Directories, DirectoriesState
from migmond.analytics.cube_rows import Row, tally
from migmond.domain.entry import EntryType
from migmond.domain.execution import Tally
from migmond.domain.file_kinds import FileKind
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Listing, Task

MOST_DIRECTORIES = 512

_ONE = 1 << SHIFT
_BLOCK, _BLOCKS = SIZE_BOUNDS[1], SIZE_BOUNDS[2]
_FILE, _DIRECTORY = EntryType.FILE, EntryType.DIRECTORY
_NOT_SELECTED = Outcome.NOT_SELECTED


class CubeState(msgspec.Struct, frozen=True, array_like=True):
    """A cube as it is kept. `starts`, `owners`, `merged`, `read`: arrays as bytes, little-endian, compressed; `cells`:
    place, then entries and bytes of planned, done, failed, skipped, cancelled and durable (which older ones lack) of
    every cell that is not empty; `each`: cells of a directory, which were 88 before kinds were known by content."""

    starts: bytes
    owners: bytes
    merged: bytes
    slots: dict[int, int]
    cells: list[tuple[int, ...]]
    each: int = 88
    read: bytes = b""


class Cube:
    """Args:
    most: directories that are told apart, at least two.
    copies: what is durable counts; not where it is only to be removed.
    """

    def __init__(self, most: int = MOST_DIRECTORIES, *, copies: bool = True) -> None:
        self._most = most
        self._copies = copies
        self._names = CellsOfNames()
        self._no_files = cells_of_no_files()
        self._fields = tuple([0] * CELLS for _ in range(6))
        self._planned, self._done, self._failed, self._skipped, self._cancelled, self._durable = self._fields
        self._directories = Directories(most, self._fields)
        self._in_flight: dict[int, int] = {}
        """By cell. Of a snapshot: what is in flight is another with every look, and nobody counts it."""
        self._parts = bytearray()
        """By task number, one more than what `_part` returns, or 0: to find that a second time costs as much as the
        first time. Not kept: what is not there is found anew."""
        self._read = bytearray()
        """By task number, one more than the kind that its content told, or 0."""

    # --- changes -----------------------------------------------------------------------------------

    def plan(self, listing: Listing) -> tuple[Tally, Tally]:
        """Plan entries, but for those that the selector left out; those that are left alone for another reason are
        skipped at once. Returns how much is planned, and how much of that is skipped."""
        if not listing.entries:
            return Tally(), Tally()
        outcomes, leaders = listing.outcomes, listing.leaders
        if outcomes or leaders or listing.kinds:
            return self._plan_each(listing)
        planned, names, base = self._planned, self._names, self._directories.base(listing.directory)
        parts = self._parts_from(listing.first)
        total, directories = 0, False
        for e in listing.entries:  # what follows is done for every file that there is: inline, and nothing twice
            if e.type is _FILE:
                name, size = e.name, e.size
                part = names[name[name.rfind(b".") :]]
                if size <= _BLOCK:
                    part += size > 0
                else:
                    part += 2 if size <= _BLOCKS else bisect_left(SIZE_BOUNDS, size)
                planned[base + part] += _ONE + size
                total += size
            else:
                directories |= e.type is _DIRECTORY
                part = self._no_files[e.type]
                planned[base + part] += _ONE
            parts.append(part + 1)
        if directories:
            self._directories.note(listing.first, listing.directory)
        return Tally(len(listing.entries), total), Tally()

    def _plan_each(self, listing: Listing) -> tuple[Tally, Tally]:
        base, outcomes, leaders = self._directories.base(listing.directory), listing.outcomes, listing.leaders
        parts = self._parts_from(listing.first)
        everything = skipped = 0
        for position, kind in listing.kinds.items():
            self._note_read(listing.first + position, kind)
        for position, e in enumerate(listing.entries):
            outcome = outcomes.get(position)
            part = self._part(listing.first + position, e.type, e.name, e.size)
            parts.append(part + 1)
            if outcome is _NOT_SELECTED:
                continue
            amount = _ONE + (e.size if e.type is _FILE and position not in leaders else 0)
            self._planned[base + part] += amount
            everything += amount
            if outcome is not None:
                self._skipped[base + part] += amount
                skipped += amount
        if any(e.type is _DIRECTORY for e in listing.entries):
            self._directories.note(listing.first, listing.directory)
        return tally(everything), tally(skipped)

    def settle(self, task: Task, state: TaskState) -> None:
        """A task is durable, done, failed, skipped or cancelled, and may have been durable before; any other state
        counts nowhere."""
        field, left = self._field(state), self._durable if task.state is TaskState.DURABLE and self._copies else None
        if field is None:
            return
        place, amount = self._place(task), _ONE + _counted(task)
        field[place] += amount
        if left is not None:
            left[place] -= amount

    def settle_all(self, tasks: Sequence[Task], state: TaskState) -> Tally:
        """As `settle` for many that are pending, with DONE or DURABLE; returns how much that is."""
        field, parts, last, base, total = self._field(state), self._parts, -1, 0, 0
        assert field is not None
        end = len(parts)
        for task in tasks:  # done for every file as well
            number, directory = task.number, task.directory
            if directory != last or not directory:
                last, base = directory, self._directories.base(directory or number)
            part = parts[number] - 1 if number < end else -1
            if part < 0:
                part = self._part(number, task.type, task.name, task.size)
            if task.type is _FILE and not task.leader:
                size = task.size
                total += size
                field[base + part] += _ONE + size
            else:
                field[base + part] += _ONE
        return Tally(len(tasks), total)

    def resize(self, task: Task, size: int) -> None:
        """A planned task, in nobody's sums but those of what is planned, has another size."""
        if task.type is not _FILE:
            return
        self._planned[self._place(task)] -= _ONE + _counted(task)
        after = msgspec.structs.replace(task, size=size)
        if task.number < len(self._parts):
            self._parts[task.number] = 0
        self._planned[self._place(after)] += _ONE + _counted(after)

    def read(self, found: Iterable[tuple[Task, FileKind]]) -> None:
        """The contents of planned files, in nobody's sums but those of what is planned, tell what their names do
        not."""
        planned, parts = self._planned, self._parts
        for task, kind in found:  # done for every file whose name tells nothing
            number, base = task.number, self._directories.base(task.directory or task.number)
            before = parts[number] - 1 if number < len(parts) else -1
            if before < 0:
                before = self._part(number, task.type, task.name, task.size)
            self._note_read(number, kind)
            after = cell_of_kind(kind) + before % len(SIZES)
            if number < len(parts):
                parts[number] = after + 1
            amount = _ONE + _counted(task)
            planned[base + before] -= amount
            planned[base + after] += amount

    def inherit(self, old: Task, heir: Task) -> None:
        """The bytes of a file count with `heir` from now on; and no more with `old`, if it failed or was left out."""
        self.gain(heir)
        self.lose(old)

    def gain(self, heir: Task) -> None:
        """A planned further name counts for its bytes from now on."""
        self._planned[self._place(heir)] += heir.size

    def lose(self, old: Task) -> None:
        """A first name that failed or was left out becomes a further one."""
        sums = self._failed if old.state is TaskState.FAILED else self._skipped
        if old.state is TaskState.FAILED or old.outcome is Outcome.LEFT_OUT:
            cell, lost = self._place(old), _counted(old)
            self._planned[cell] -= lost
            sums[cell] -= lost

    def reopen(self, directory: Task) -> None:
        """It was done and is not."""
        self._done[self._place(directory)] -= _ONE

    def unfail(self, task: Task) -> None:
        """It was failed and is to be tried again."""
        self._failed[self._place(task)] -= _ONE + _counted(task)

    def bring_back(self, task: Task) -> None:
        """It was skipped and is not."""
        self._skipped[self._place(task)] -= _ONE + _counted(task)

    def leave_out(self, directory: Task) -> None:
        """It was planned and is not."""
        self._planned[self._place(directory)] -= _ONE

    def cancel_rest(self, failed: Sequence[Task]) -> None:
        """All that is neither done nor skipped is cancelled, but for `failed`."""
        self.retry()
        for task in failed:
            self.settle(task, TaskState.FAILED)
        self._durable[:] = [0] * len(self._durable)
        for cell, planned in enumerate(self._planned):
            if planned:
                self._cancelled[cell] = planned - self._done[cell] - self._skipped[cell] - self._failed[cell]

    def retry(self) -> None:
        """Nothing is failed any more."""
        self._failed[:] = [0] * len(self._failed)

    def count(self, tasks: Iterable[Task], kinds: Mapping[int, FileKind] = {}) -> None:
        """Count tasks as the journal has them, planned and settled. Ascending in number, none of them counted yet.

        Args:
            kinds: what their contents told, by number.
        """
        for number, kind in kinds.items():
            self._note_read(number, kind)
        for task in tasks:
            self.note(task)
            if task.outcome is not _NOT_SELECTED:
                amount, cell = _ONE + _counted(task), self._place(task)
                self._planned[cell] += amount
                field = self._field(task.state)
                if field is not None:
                    field[cell] += amount

    def note(self, task: Task) -> None:
        """Learn where a directory lies; before anything in it is counted."""
        if task.type is _DIRECTORY and task.directory:
            self._directories.note(task.number, task.directory)

    # --- sums --------------------------------------------------------------------------------------

    def sums(self) -> Row:
        """Return the sums over everything."""
        sums = [sum(field) for field in self._fields]
        return Row(None, None, None, *map(tally, [*sums, sum(self._in_flight.values())]))

    def rows(self, *, kind: bool = False, size: bool = False, directory: bool = False) -> list[Row]:
        """Return the sums by what is wanted, without those in which nothing is planned, in no order."""
        sums: dict[tuple[int | None, int | None, int | None], list[int]] = {}
        numbers = {base: number for number, base in self._directories.slots.items()}
        for cell, planned in enumerate(self._planned):
            if not planned:
                continue
            part = cell % CELLS
            its, large = divmod(part, len(SIZES))
            if its == UNKNOWN and not large:
                its = OTHER_KIND  # nothing is to be read in an empty file
            key = (
                its if kind else None,
                large if size else None,
                numbers.get(cell - part, OTHER) if directory else None,
            )
            found = sums.setdefault(key, [0] * (len(self._fields) + 1))
            for position, field in enumerate(self._fields):
                found[position] += field[cell]
            found[-1] += self._in_flight.get(cell, 0)
        return [Row(*key, *map(tally, found)) for key, found in sums.items()]

    def snapshot(self, in_flight: Iterable[tuple[Task, Tally]] = ()) -> Cube:
        """Return the sums as they are now, for a thread to look through: 45,000 cells may take 0.1 s.

        Args:
            in_flight: planned tasks of which something is copied that is in no other sum: 1 entry when that is all of
                it, else 0, and the bytes.
        """
        copy = Cube(self._most, copies=self._copies)
        copy._fields = tuple(field[:] for field in self._fields)
        copy._planned, copy._done, copy._failed, copy._skipped, copy._cancelled, copy._durable = copy._fields
        copy._directories = self._directories.snapshot(copy._fields)
        for task, copied in in_flight:
            place = self._place(task)
            copy._in_flight[place] = copy._in_flight.get(place, 0) + (copied.entries << SHIFT) + copied.bytes
        return copy

    # --- keeping -----------------------------------------------------------------------------------

    def state(self) -> CubeState:
        """Return all of it."""
        cells = [
            (cell, *(number for field in self._fields for number in (field[cell] >> SHIFT, field[cell] & BYTES)))
            for cell, planned in enumerate(self._planned)
            if planned
        ]
        its = self._directories.state()
        read = zlib.compress(self._read, 1)
        return CubeState(its.starts, its.owners, its.merged, its.slots, cells, CELLS, read)

    @classmethod
    def of(cls, state: CubeState, most: int = MOST_DIRECTORIES, *, copies: bool = True) -> Cube:
        """Return the cube whose `state` it is.

        Raises:
            ValueError: it is none.
        """
        cube = cls(most, copies=copies)
        if state.each != CELLS:
            raise ValueError("a kept cube has other kinds")
        try:
            cube._directories.take_over(DirectoriesState(state.starts, state.owners, state.merged, state.slots))
            cube._read = bytearray(zlib.decompress(state.read))
        except zlib.error as e:
            raise ValueError("a kept cube is damaged") from e
        for cell, *numbers in state.cells:
            if len(numbers) != 2 * len(cube._fields) or not 0 <= cell < len(cube._planned):
                raise ValueError("a kept cube contradicts itself")
            for field, entries, size in zip(cube._fields, numbers[::2], numbers[1::2], strict=True):
                field[cell] = (entries << SHIFT) + size
        return cube

    # --- where -------------------------------------------------------------------------------------

    def _field(self, state: TaskState) -> list[int] | None:
        if state is TaskState.DONE:
            return self._done
        if state is TaskState.SKIPPED:
            return self._skipped
        if state is TaskState.FAILED:
            return self._failed
        if state is TaskState.DURABLE:
            return self._durable if self._copies else None
        return self._cancelled if state is TaskState.CANCELLED else None

    def _parts_from(self, first: int) -> bytearray:
        """Return what the parts of entries from number `first` on are to be appended to."""
        parts = self._parts
        if len(parts) < first:
            parts.extend(bytes(first - len(parts)))
        elif len(parts) > first:  # numbers that were told before are told again
            del parts[first:]
        if len(self._read) > first:
            del self._read[first:]
        return parts

    def _note_read(self, number: int, kind: FileKind) -> None:
        if number >= len(self._read):
            self._read.extend(bytes(number + 1 - len(self._read)))
        self._read[number] = kind + 1
        if number < len(self._parts):
            self._parts[number] = 0

    def _part(self, number: int, kind: EntryType, name: bytes, size: int) -> int:
        """Return which of the cells of its directory an entry counts in."""
        if kind is not _FILE:
            return self._no_files[kind]
        if number < len(self._read) and self._read[number]:
            return cell_of_kind(FileKind(self._read[number] - 1)) + bisect_left(SIZE_BOUNDS, size)
        return self._names[name[name.rfind(b".") :]] + bisect_left(SIZE_BOUNDS, size)

    def _place(self, task: Task) -> int:
        return self._directories.base(task.directory or task.number) + self._part(
            task.number, task.type, task.name, task.size
        )


def _counted(task: Task) -> int:
    return task.size if task.type is _FILE and not task.leader else 0
