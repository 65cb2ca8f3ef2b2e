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

Memory: `most` × 96 cells × 5 fields × 8 bytes (2 MB) and 40 bytes for each number that is not 0; one bit for each task
number up to the last directory that was merged (1.25 MB at 10^7); 16 bytes for each listing that has directories in it
and does not follow one of the same directory. Sources are walked depth first, so these are few. And one byte for each
task (10 MB at 10^7).
"""

from __future__ import annotations

import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from migmond.analytics.classes import CELLS, SIZE_BOUNDS, SIZES, CellsOfNames, cells_of_no_files
from migmond.domain.entry import EntryType
from migmond.domain.execution import Tally
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Listing, Task

MOST_DIRECTORIES = 512
OTHER = 0
"""In the place of a directory's number: all that were merged."""

_SHIFT = 96
_ONE = 1 << _SHIFT
_BYTES = _ONE - 1
_DEEPEST = 2
_BLOCK, _BLOCKS = SIZE_BOUNDS[1], SIZE_BOUNDS[2]
_FILE, _DIRECTORY = EntryType.FILE, EntryType.DIRECTORY
_NOT_SELECTED = Outcome.NOT_SELECTED


class CubeState(msgspec.Struct, frozen=True, array_like=True):
    """A cube as it is kept. `starts`, `owners`, `merged`: arrays as bytes, little-endian, compressed; `cells`: place,
    then entries and bytes of planned, done, failed, skipped and cancelled of every cell that is not empty."""

    starts: bytes
    owners: bytes
    merged: bytes
    slots: dict[int, int]
    cells: list[tuple[int, ...]]


class Row(msgspec.Struct, frozen=True):
    """The sums of some cells. `kind`, `size`: position in `classes.TYPES` and `SIZES`, or None when it is over all of
    them; `directory`: number of its task or OTHER, or None likewise."""

    kind: int | None
    size: int | None
    directory: int | None
    planned: Tally
    done: Tally
    failed: Tally
    skipped: Tally
    cancelled: Tally


class Cube:
    """Args: most: directories that are told apart, at least two."""

    def __init__(self, most: int = MOST_DIRECTORIES) -> None:
        self._most = most
        self._names = CellsOfNames()
        self._no_files = cells_of_no_files()
        self._fields = tuple([0] * CELLS for _ in range(5))
        self._planned, self._done, self._failed, self._skipped, self._cancelled = self._fields
        self._slots: dict[int, int] = {}
        """By the number of a directory that is told apart, where its cells are."""
        self._free: list[int] = []
        self._merged = bytearray()
        """A bit for each directory that was merged."""
        self._starts, self._owners = array("q", [0]), array("q", [0])
        """From the task number in `starts` on, directories are known as `owners` has it: -d: each by itself, being d
        steps below its source; otherwise the number of the directory that they count with."""
        self._parts = bytearray()
        """By task number, one more than what `_part` returns, or 0: to find that a second time costs as much as the
        first time. Not kept: what is not there is found anew."""
        self._last, self._last_base = -1, 0

    # --- changes -----------------------------------------------------------------------------------

    def plan(self, listing: Listing) -> tuple[Tally, Tally]:
        """Plan entries, but for those that the selector left out; those that are left alone for another reason are
        skipped at once. Returns how much is planned, and how much of that is skipped."""
        if not listing.entries:
            return Tally(), Tally()
        outcomes, leaders = listing.outcomes, listing.leaders
        if outcomes or leaders:
            return self._plan_each(listing)
        planned, names, base = self._planned, self._names, self._base(listing.directory)
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
            self._note(listing.first, listing.directory)
        return Tally(len(listing.entries), total), Tally()

    def _plan_each(self, listing: Listing) -> tuple[Tally, Tally]:
        base, outcomes, leaders = self._base(listing.directory), listing.outcomes, listing.leaders
        parts = self._parts_from(listing.first)
        everything = skipped = 0
        for position, e in enumerate(listing.entries):
            outcome = outcomes.get(position)
            part = self._part(e.type, e.name, e.size)
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
            self._note(listing.first, listing.directory)
        return _tally(everything), _tally(skipped)

    def plan_task(self, task: Task) -> None:
        """A source is planned."""
        self._planned[self._place(task)] += _ONE + _counted(task)

    def settle(self, task: Task, state: TaskState) -> None:
        """A task is done, failed, skipped or cancelled; any other state counts nowhere."""
        field = self._field(state)
        if field is not None:
            field[self._place(task)] += _ONE + _counted(task)

    def settle_done(self, tasks: Sequence[Task]) -> Tally:
        """As `settle` with DONE, for many; returns how much that is."""
        done, parts, last, base, total = self._done, self._parts, -1, 0, 0
        end = len(parts)
        for task in tasks:  # done for every file as well
            number, directory = task.number, task.directory
            if directory != last or not directory:
                last, base = directory, self._base(directory or number)
            part = parts[number] - 1 if number < end else -1
            if part < 0:
                part = self._part(task.type, task.name, task.size)
            if task.type is _FILE and not task.leader:
                size = task.size
                total += size
                done[base + part] += _ONE + size
            else:
                done[base + part] += _ONE
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

    def inherit(self, old: Task, heir: Task) -> None:
        """The bytes of a file count with `heir` from now on; and no more with `old`, if it failed."""
        self.gain(heir)
        self.lose(old)

    def gain(self, heir: Task) -> None:
        """A planned further name counts for its bytes from now on."""
        self._planned[self._place(heir)] += heir.size

    def lose(self, old: Task) -> None:
        """A first name that failed becomes a further one."""
        if old.state is TaskState.FAILED:
            cell, lost = self._place(old), _counted(old)
            self._planned[cell] -= lost
            self._failed[cell] -= lost

    def reopen(self, directory: Task) -> None:
        """It was done and is not."""
        self._done[self._place(directory)] -= _ONE

    def leave_out(self, directory: Task) -> None:
        """It was planned and is not."""
        self._planned[self._place(directory)] -= _ONE

    def cancel_rest(self, failed: Sequence[Task]) -> None:
        """All that is neither done nor skipped is cancelled, but for `failed`."""
        self.retry()
        for task in failed:
            self.settle(task, TaskState.FAILED)
        for cell, planned in enumerate(self._planned):
            if planned:
                self._cancelled[cell] = planned - self._done[cell] - self._skipped[cell] - self._failed[cell]

    def retry(self) -> None:
        """Nothing is failed any more."""
        self._failed[:] = [0] * len(self._failed)

    def count(self, tasks: Iterable[Task]) -> None:
        """Count tasks as the journal has them, planned and settled. Ascending in number, none of them counted yet."""
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
            self._note(task.number, task.directory)

    # --- sums --------------------------------------------------------------------------------------

    def sums(self) -> Row:
        """Return the sums over everything."""
        return Row(None, None, None, *(_tally(sum(field)) for field in self._fields))

    def rows(self, *, kind: bool = False, size: bool = False, directory: bool = False) -> list[Row]:
        """Return the sums by what is wanted, without those in which nothing is planned, in no order."""
        sums: dict[tuple[int | None, int | None, int | None], list[int]] = {}
        numbers = {base: number for number, base in self._slots.items()}
        for cell, planned in enumerate(self._planned):
            if not planned:
                continue
            part = cell % CELLS
            key = (
                part // len(SIZES) if kind else None,
                part % len(SIZES) if size else None,
                numbers.get(cell - part, OTHER) if directory else None,
            )
            found = sums.setdefault(key, [0, 0, 0, 0, 0])
            for position, field in enumerate(self._fields):
                found[position] += field[cell]
        return [Row(*key, *map(_tally, found)) for key, found in sums.items()]

    def snapshot(self) -> Cube:
        """Return the sums as they are now, for a thread to look through: 45,000 cells may take 0.1 s."""
        copy = Cube(self._most)
        copy._fields = tuple(field[:] for field in self._fields)
        copy._planned, copy._done, copy._failed, copy._skipped, copy._cancelled = copy._fields
        copy._slots = dict(self._slots)
        return copy

    # --- keeping -----------------------------------------------------------------------------------

    def state(self) -> CubeState:
        """Return all of it."""
        cells = [
            (cell, *(number for field in self._fields for number in (field[cell] >> _SHIFT, field[cell] & _BYTES)))
            for cell, planned in enumerate(self._planned)
            if planned
        ]
        return CubeState(
            _packed(self._starts), _packed(self._owners), zlib.compress(self._merged, 1), dict(self._slots), cells
        )

    @classmethod
    def of(cls, state: CubeState, most: int = MOST_DIRECTORIES) -> Cube:
        """Return the cube whose `state` it is.

        Raises:
            ValueError: it is none.
        """
        cube = cls(most)
        try:
            cube._starts, cube._owners = _unpacked(state.starts), _unpacked(state.owners)
            cube._merged = bytearray(zlib.decompress(state.merged))
        except zlib.error as e:
            raise ValueError("a kept cube is damaged") from e
        places = [base // CELLS for base in state.slots.values()]
        end = max(places, default=0)
        if len(cube._starts) != len(cube._owners) or not cube._starts or any(b % CELLS for b in state.slots.values()):
            raise ValueError("a kept cube contradicts itself")
        for field in cube._fields:
            field += [0] * (end * CELLS)
        for cell, *numbers in state.cells:
            if len(numbers) != 2 * len(cube._fields) or not 0 <= cell < len(cube._planned):
                raise ValueError("a kept cube contradicts itself")
            for field, entries, size in zip(cube._fields, numbers[::2], numbers[1::2], strict=True):
                field[cell] = (entries << _SHIFT) + size
        cube._slots = dict(state.slots)
        cube._free = [p * CELLS for p in sorted(set(range(1, end + 1)) - set(places))]
        return cube

    # --- where -------------------------------------------------------------------------------------

    def _field(self, state: TaskState) -> list[int] | None:
        if state is TaskState.DONE:
            return self._done
        if state is TaskState.SKIPPED:
            return self._skipped
        if state is TaskState.FAILED:
            return self._failed
        return self._cancelled if state is TaskState.CANCELLED else None

    def _parts_from(self, first: int) -> bytearray:
        """Return what the parts of entries from number `first` on are to be appended to."""
        parts = self._parts
        if len(parts) < first:
            parts.extend(bytes(first - len(parts)))
        elif len(parts) > first:  # numbers that were told before are told again
            del parts[first:]
        return parts

    def _part(self, kind: EntryType, name: bytes, size: int) -> int:
        """Return which of the cells of its directory an entry counts in."""
        if kind is not _FILE:
            return self._no_files[kind]
        return self._names[name[name.rfind(b".") :]] + bisect_left(SIZE_BOUNDS, size)

    def _place(self, task: Task) -> int:
        return self._base(task.directory or task.number) + self._part(task.type, task.name, task.size)

    def _owner(self, directory: int) -> int:
        return self._owners[bisect_right(self._starts, directory) - 1]

    def _note(self, first: int, directory: int) -> None:
        """Directories from number `first` on, up to what is noted of later ones, lie in `directory`."""
        owner = self._owner(directory)
        if owner <= 0:
            owner = owner - 1 if -owner < _DEEPEST else directory
        # Numbers ascend; what is told again is known, and what follows one of the same directory goes with it.
        if first > self._starts[-1] and self._owners[-1] != owner:
            self._starts.append(first)
            self._owners.append(owner)

    def _base(self, directory: int) -> int:
        """Return the first cell of whom `directory` counts with."""
        if directory == self._last:
            return self._last_base
        owner = self._owner(directory)
        number = directory if owner <= 0 else owner
        base = self._slots.get(number)
        if base is None:
            base = OTHER if self._is_merged(number) else self._new(number)
        self._last, self._last_base = directory, base
        return base

    def _new(self, number: int) -> int:
        if len(self._slots) + 1 >= self._most:
            self._merge()
        if self._free:
            base = self._free.pop()
        else:
            base = len(self._planned)
            for field in self._fields:
                field += [0] * CELLS
        self._slots[number] = base
        return base

    def _merge(self) -> None:
        """Merge the smaller half of the directories into "other"."""
        everything = sum(self._planned)
        entries, size = max(1, everything >> _SHIFT), max(1, everything & _BYTES)

        def share(number: int) -> float:
            base = self._slots[number]
            its = sum(self._planned[base : base + CELLS])
            return (its >> _SHIFT) / entries + (its & _BYTES) / size

        by_share = sorted(self._slots, key=share)
        for number in by_share[: (len(by_share) + 1) // 2]:
            base = self._slots.pop(number)
            used = [c for c, planned in enumerate(self._planned[base : base + CELLS]) if planned]
            for field in self._fields:
                for cell in used:
                    field[cell] += field[base + cell]
                    field[base + cell] = 0
            self._free.append(base)
            at, bit = number >> 3, number & 7
            if at >= len(self._merged):
                self._merged.extend(bytes(at + 1 - len(self._merged)))
            self._merged[at] |= 1 << bit
        self._last = -1

    def _is_merged(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._merged) and bool(self._merged[at] >> (number & 7) & 1)


def _counted(task: Task) -> int:
    return task.size if task.type is _FILE and not task.leader else 0


def _tally(number: int) -> Tally:
    return Tally(number >> _SHIFT, number & _BYTES)


def _packed(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return zlib.compress(numbers.tobytes(), 1)


def _unpacked(data: bytes) -> array[int]:
    numbers = array("q")
    numbers.frombytes(zlib.decompress(data))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
