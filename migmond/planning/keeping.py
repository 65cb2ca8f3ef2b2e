"""What of an entry cannot be at a target as it is: its name, its size, its time."""

from __future__ import annotations

from collections.abc import Iterator

from migmond.domain.preflight import Sight, TargetFacts
from migmond.planning.filesystems import Abilities

_PATH_MAX = 4095
"""Longest path that a program can open; migmond itself opens longer ones in pieces."""


def name_sights(name: bytes, facts: TargetFacts, abilities: Abilities) -> Iterator[Sight]:
    """Yield why the target's file system cannot have an entry of that name."""
    if abilities.utf8_only:
        try:
            length = len(name.decode().encode("utf-16-le")) // 2
        except UnicodeDecodeError:
            yield Sight.NAME_CHARACTERS
            return
        if abilities.forbidden and not set(abilities.forbidden).isdisjoint(name):
            yield Sight.NAME_CHARACTERS
    else:
        length = len(name)
    if length > facts.name_max > 0:
        yield Sight.NAME_LENGTH


def path_sights(source: bytes, target: bytes, path: bytes) -> Iterator[Sight]:
    """Yield PATH_LENGTH when programs could open `path` below root `source`, and cannot below root `target`."""
    if len(target) + 1 + len(path) > _PATH_MAX >= len(source) + 1 + len(path):
        yield Sight.PATH_LENGTH


def size_sights(size: int, allocated: int, abilities: Abilities) -> Iterator[Sight]:
    """Yield what is wrong with a file's size, or with its holes, there."""
    if abilities.max_file_bytes is not None and size > abilities.max_file_bytes:
        yield Sight.FILE_SIZE
    if not abilities.holes and allocated < size and size - allocated >= 1 << 16:
        yield Sight.HOLES


def time_sights(seconds: int, nanoseconds: int, abilities: Abilities) -> Iterator[Sight]:
    """Yield what becomes of a modification time there."""
    if abilities.time_step_ns > 1 and (seconds * 10**9 + nanoseconds) % abilities.time_step_ns:
        yield Sight.TIME_STEP
    if (abilities.first_s is not None and seconds < abilities.first_s) or (
        abilities.last_s is not None and seconds > abilities.last_s
    ):
        yield Sight.TIME_RANGE
