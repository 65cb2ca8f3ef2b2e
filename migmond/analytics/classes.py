"""What kind of file an entry is, and how large: the classes by which progress is told."""

from __future__ import annotations

from migmond.domain.entry import EntryType
from migmond.domain.file_kinds import EXTENSIONS, FileKind

SIZE_BOUNDS = (0, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20, 1 << 30)
"""The largest size of each class but the last, bytes. 4 KiB is a block: what fits costs a file and hardly any bytes;
1 MiB is what goes packed (wire.work); from 64 MiB on a file is shown by itself (planning of the dashboard, issue 5)."""
SIZES = ("empty", "≤4 KiB", "≤64 KiB", "≤1 MiB", "≤16 MiB", "≤64 MiB", "≤1 GiB", ">1 GiB")
"""What they are called. What is no file has no content, and is in the first one."""

_KINDS = {
    FileKind.VIDEO: "video",
    FileKind.AUDIO: "audio",
    FileKind.IMAGE: "image",
    FileKind.DOCUMENT: "document",
    FileKind.ARCHIVE: "archive",
    FileKind.TEXT: "code or text",
    FileKind.DATABASE: "database or disk image",
    FileKind.OTHER: "other",
}
"""By the last extension, whatever its case; where that tells nothing, by the content once it was read."""

_NO_FILES = {
    EntryType.DIRECTORY: "directory",
    EntryType.SYMLINK: "symlink",
    EntryType.FIFO: "special",
    EntryType.SOCKET: "special",
    EntryType.CHAR_DEVICE: "special",
    EntryType.BLOCK_DEVICE: "special",
}
TYPES = (*_KINDS.values(), "directory", "symlink", "special", "unknown")
"""What the kinds are called. `unknown` are files whose extension is in no list, or that have none, and whose content
nobody has read: it is when they are copied. `other` are those of which that told nothing either."""

UNKNOWN, OTHER_KIND = TYPES.index("unknown"), TYPES.index("other")
_CELLS_OF_KINDS = tuple(TYPES.index(_KINDS[kind]) * len(SIZES) for kind in FileKind)

CELLS = len(TYPES) * len(SIZES)
"""Of each kind and size one; the cell of kind t and size s is t * len(SIZES) + s."""

_REMEMBERED = 4096
_LONGEST = 16


def cell_of_kind(kind: FileKind) -> int:
    """Return the first cell of files of a kind."""
    return _CELLS_OF_KINDS[kind]


class CellsOfNames(dict[bytes, int]):
    """By extension with its dot, as it is written, the first cell of its kind; of anything else that of `unknown`.

    Read `cells[name[name.rfind(b".") :]]`: a name without a dot gives one letter, which is no extension. What is not
    listed is remembered as it is met, so that upper case and the unknown cost no more (up to a bound).
    """

    def __init__(self) -> None:
        super().__init__()
        self._unknown = UNKNOWN * len(SIZES)
        for kind, extensions in EXTENSIONS.items():
            self.update((b"." + extension, cell_of_kind(kind)) for extension in extensions)
        self._most = len(self) + _REMEMBERED

    def __missing__(self, extension: bytes) -> int:
        cell = self.get(extension.lower(), self._unknown)
        if len(self) < self._most and len(extension) <= _LONGEST:
            self[extension] = cell
        return cell


def cells_of_no_files() -> tuple[int, ...]:
    """Return by EntryType the cell of what is no file (and 0 for files, whose cell depends on name and size)."""
    return tuple(TYPES.index(_NO_FILES[t]) * len(SIZES) if t in _NO_FILES else 0 for t in EntryType)
