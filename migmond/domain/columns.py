"""Many tasks at once, for whoever looks at all of them: lists side by side in place of an object for each."""

from __future__ import annotations

import msgspec


class Columns(msgspec.Struct, frozen=True):
    """Tasks by position, the same in every list, ascending in number.

    Attributes:
        directories: numbers of those that they lie in; 0 for a source that is no directory.
        names: at the source.
        types: values of EntryType.
        devices: numbers of the devices that they are on.
    """

    numbers: list[int]
    directories: list[int]
    names: list[bytes]
    types: list[int]
    sizes: list[int]
    mtimes_ns: list[int]
    devices: list[int] = []

    def __len__(self) -> int:
        return len(self.numbers)
