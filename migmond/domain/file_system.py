"""Which file system it is, whatever it is mounted on and through whatever device."""

from __future__ import annotations

import msgspec


class FileSystemId(msgspec.Struct, frozen=True, array_like=True):
    """What a file system keeps in itself and shows at every mount; b"" is what nobody knows.

    Attributes:
        own: of the whole file system.
        volume: of the part of it that is mounted (a btrfs subvolume), where there are such parts.
    """

    own: bytes = b""
    volume: bytes = b""

    def is_another(self, now: FileSystemId) -> bool:
        """Whether `now` is certainly another one; what is unknown on either side tells nothing."""
        return _differ(self.own, now.own)

    def is_another_volume(self, now: FileSystemId) -> bool:
        """As `is_another`, and told by the volume as well: for the very directory that was looked at then."""
        return self.is_another(now) or _differ(self.volume, now.volume)


def _differ(then: bytes, now: bytes) -> bool:
    return bool(then and now and then != now)


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A path inside a file system, from its root: the same through every mount of it."""

    device: int
    path: bytes

    def is_below(self, other: Place | None) -> bool:
        """Whether it is `other`, or in the tree of that name."""
        if other is None or self.device != other.device:
            return False
        return self.path == other.path or self.path.startswith(other.path.rstrip(b"/") + b"/")


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """Where a directory, or something in it, stands.

    Attributes:
        key: its (st_dev, st_ino); (0, 0) when nothing can lie in it.
        above: (st_dev, st_ino) of it and of all directories above.
    """

    key: tuple[int, int]
    above: tuple[tuple[int, int], ...]
    place: Place | None

    def lies_in(self, other: Standing) -> bool:
        """Whether it is `other`, or lies in it."""
        return other.key in self.above or (self.place is not None and self.place.is_below(other.place))


class Own(msgspec.Struct, frozen=True, array_like=True):
    """Something that the daemon needs to go on. `what`: for people."""

    what: str
    path: bytes
    standing: Standing
