"""The one language that picks tasks, everywhere."""

from __future__ import annotations

import msgspec


class Selector(msgspec.Struct, frozen=True, omit_defaults=True):
    """All given conditions must hold; a selector with none picks everything.

    Attributes:
        include: rclone filter patterns; an entry matches if any pattern does (none: all match).
        exclude: rclone filter patterns; an entry that matches any is out.
        under: directory below the source root, as raw bytes without leading slash.
        larger_than: bytes, exclusive.
        smaller_than: bytes, exclusive.
        newer_than: seconds before now that the modification time must be after.
        older_than: seconds before now that the modification time must be before.
        types: entry type names (`file`, `directory`, `symlink`, ...) or content classes (`video`, `image`, ...): by the
            suffix, and where that is none that anybody knows by the content, as far as it was read.
        states: task states by name.
        errors: fault kinds (`EIO`, `source_changed`), or groups of faults (`read:EIO:5`).
        devices: numbers of the devices that sources are on, as the journal has them. People have no use for these: a
            hold of the engine covers what is on a disk that fails.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    under: bytes = b""
    larger_than: int | None = None
    smaller_than: int | None = None
    newer_than: float | None = None
    older_than: float | None = None
    types: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    devices: tuple[int, ...] = ()

    @property
    def selects_all(self) -> bool:
        return self == Selector()
