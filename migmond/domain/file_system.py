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
