"""What of entries that are known already cannot be on another file system as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from migmond.domain.columns import Columns
from migmond.domain.entry import EntryType
from migmond.domain.preflight import Sight, Sighting, TargetFacts
from migmond.planning.filesystems import Abilities
from migmond.planning.keeping import name_sights, size_sights, time_sights

_USUAL_NAME_MAX = 255
"""Bytes of the longest name that a source can have on Linux (NAME_MAX): a target that has those has every one."""


def takes_all(facts: TargetFacts, abilities: Abilities) -> bool:
    """Whether nothing that the journal knows of an entry can be in its way there: that needs no look at entries."""
    return abilities.first_s is None and abilities.last_s is None and _only_times_have_an_end(facts, abilities)


def _only_times_have_an_end(facts: TargetFacts, abilities: Abilities) -> bool:
    return (
        not abilities.utf8_only
        and facts.name_max >= _USUAL_NAME_MAX
        and abilities.max_file_bytes is None
        and abilities.time_step_ns == 1
        and abilities.symlinks
        and abilities.specials
        and abilities.hard_links
    )


def sights_of(
    tasks: Columns,
    picked: Iterable[int],
    paths: Mapping[int, bytes],
    facts: TargetFacts,
    abilities: Abilities,
    *,
    followers: bool,
) -> dict[Sight, Sighting]:
    """Return what there is to say of some entries, each with its first example.

    Args:
        picked: their positions.
        paths: of the directories that they lie in, by number.
        followers: they are further names of files.
    """
    found: dict[Sight, Sighting] = {}
    if _only_times_have_an_end(facts, abilities) and _all_in_time(tasks.mtimes_ns, abilities):
        return found  # as on most disks; ten million entries are to be looked over while somebody waits
    for i in picked:
        for sight in _sights(tasks, i, facts, abilities, followers=followers):
            above = paths.get(tasks.directories[i], b"")
            path = above + b"/" + tasks.names[i] if above else tasks.names[i]
            before = found.get(sight)
            found[sight] = Sighting(1, path) if before is None else Sighting(before.count + 1, before.example)
    return found


def _sights(tasks: Columns, i: int, facts: TargetFacts, abilities: Abilities, *, followers: bool) -> Iterator[Sight]:
    yield from name_sights(tasks.names[i], facts, abilities)
    kind = tasks.types[i]
    if followers:
        if not abilities.hard_links:
            yield Sight.HARD_LINK
    elif kind == EntryType.FILE:
        size = tasks.sizes[i]
        yield from size_sights(size, size, abilities)  # the journal knows of no holes
        yield from time_sights(*divmod(tasks.mtimes_ns[i], 10**9), abilities)
    elif kind == EntryType.SYMLINK:
        if not abilities.symlinks:
            yield Sight.SYMLINK
    elif not abilities.specials:
        yield Sight.SPECIAL


def _all_in_time(mtimes_ns: Sequence[int], abilities: Abilities) -> bool:
    if not mtimes_ns:
        return True
    ends = (min(mtimes_ns), max(mtimes_ns))
    return not any(sight is Sight.TIME_RANGE for ns in ends for sight in time_sights(*divmod(ns, 10**9), abilities))
