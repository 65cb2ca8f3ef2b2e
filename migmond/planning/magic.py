"""What kind of file one is, by its first bytes: for those whose names do not tell.

A bounded table instead of a library: eight kinds are told apart, not 1,200 formats, and whoever asks has a file to copy
in 30 µs. `puremagic` compares every signature that it knows and reads the file itself; `filetype` has had no release
since 2022.

Sources: file(1)'s magic/Magdir (5.45) and freedesktop's shared-mime-info 2.4 for all of them, and of the formats that
define their beginning: RFC 9639 (FLAC), RFC 3533 and 7845 (Ogg, Opus), RFC 8794 (EBML: Matroska, WebM), RFC 1952
(gzip), RFC 8878 (zstd), ISO/IEC 14496-12 (ftyp and its brands), ISO/IEC 13818-1 (MPEG streams), ISO/IEC 15948 (PNG),
ITU-T T.81 (JPEG), TIFF 6.0, PKWARE APPNOTE 6.3.10 (zip), ISO/IEC 26300-3 and EPUB OCF 3.3 (their first entry),
POSIX.1-2017 pax (ustar), MS-CFB (OLE2), sqlite.org/fileformat.html, and the layouts of ext4, XFS and squashfs in Linux.
"""

from __future__ import annotations

from collections.abc import Mapping

from migmond.domain.file_kinds import FileKind

HEAD_BYTES = 2048
"""So much of a file is looked at: the farthest mark is that of ext4, at 1,080."""

_BEGINNINGS: Mapping[FileKind, tuple[bytes, ...]] = {
    FileKind.IMAGE: (
        b"\xff\xd8\xff",  # JPEG
        b"\x89PNG\r\n\x1a\n",
        b"GIF87a", b"GIF89a",
        b"II*\0", b"MM\0*",  # TIFF, and most raw formats, which are TIFF
        b"IIRO", b"IIRS", b"IIU\0", b"FUJIFILMCCD-RAW",  # Olympus, Panasonic, Fujifilm
        b"8BPS",  # Photoshop
        b"gimp xcf",
        b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51",  # JPEG 2000
        b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n",
        b"v/1\x01",  # OpenEXR
        b"#?RADIANCE", b"SIMPLE  =",  # Radiance, FITS
        b"\0\0\1\0",  # Windows icon
    ),
    FileKind.VIDEO: (
        b"FLV\x01",
        b"0&\xb2u\x8ef\xcf\x11",  # ASF: Windows Media
        b"\0\0\1\xba", b"\0\0\1\xb3",  # MPEG program and video streams
        b".RMF", b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02",  # RealMedia, MXF
    ),
    FileKind.AUDIO: (
        b"ID3",
        b"fLaC",
        b"MAC ", b"wvpk", b"DSD ", b"FRM8",  # Monkey's Audio, WavPack, DSD
        b"MThd", b"#!AMR", b".snd", b"caff",
    ),
    FileKind.DOCUMENT: (
        b"%PDF-", b"%!PS",
        b"{\\rtf",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",  # OLE2: Word, Excel, PowerPoint before 2007, Outlook's messages
        b"AT&TFORM",  # DjVu
        b"BEGIN:VCARD", b"BEGIN:VCALENDAR",
    ),
    FileKind.ARCHIVE: (
        b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08",
        b"\x1f\x8b", b"\x1f\x9d", b"\x1f\xa0",  # gzip, compress
        b"BZh", b"\xfd7zXZ\0", b"LZIP", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"]\0\0\x80\0",
        b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"MSCF\0\0\0\0", b"\x60\xea",  # cab, arj
        b"!<arch>\n",  # ar, and Debian's packages
        b"\xed\xab\xee\xdb",  # RPM
        b"070701", b"070702", b"070707", b"xar!",  # cpio, macOS packages
        b"hsqs", b"sqsh",  # squashfs: snaps, and images of live systems
    ),
    FileKind.DATABASE: (
        b"SQLite format 3\0",
        b"\x00\x01\x00\x00Standard Jet DB", b"\x00\x01\x00\x00Standard ACE DB",
        b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"CDF\x02", b"\x93NUMPY",
        b"PAR1", b"Obj\x01", b"ARROW1", b"ORC",
        b"REDIS0", b"PGDMP",
        b"QFI\xfb", b"KDMV", b"COWD", b"vhdxfile", b"conectix", b"<<< ", b"MSWIM\0\0\0",
        b"LUKS\xba\xbe", b"XFSB", b"EVF\x09\x0d\x0a\xff\0",  # EnCase
    ),
}  # fmt: skip
_BY_LETTER: Mapping[int, tuple[tuple[bytes, FileKind], ...]] = {
    letter: tuple((b, kind) for kind, its in _BEGINNINGS.items() for b in its if b[0] == letter)
    for letter in range(256)
}
"""What begins with a byte: a few comparisons instead of a hundred."""

_RIFF = {b"WAVE": FileKind.AUDIO, b"AVI ": FileKind.VIDEO, b"WEBP": FileKind.IMAGE}
_IFF = {b"AIFF": FileKind.AUDIO, b"AIFC": FileKind.AUDIO, b"8SVX": FileKind.AUDIO, b"ILBM": FileKind.IMAGE}
_STILL = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
_SOUND = (b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ")
_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""Movies of before 2001, and of cameras that write them so, begin with one of these boxes (QuickTime File Format)."""
_ZIPPED_DOCUMENTS = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"word/", b"xl/", b"ppt/", b"customXml/")
"""Names of the first entry that Office Open XML's writers begin with (ECMA-376 part 2 does not say which)."""
_DOCUMENT_TYPES = (b"application/vnd.oasis.opendocument", b"application/epub+zip", b"application/vnd.sun.xml")
_NEVER_TEXT = frozenset({FileKind.VIDEO, FileKind.AUDIO, FileKind.ARCHIVE, FileKind.DATABASE})
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TS_PACKET = 188
CONTROLS = bytes({*range(32)} - set(b"\t\n\v\f\r\b\x1b"))
"""What no text has in it (file(1), src/encoding.c: what is neither text nor white space there)."""
GLANCE_BYTES = 64
"""Most of what is no text shows it in so many: of random bytes all but one in 600, without a look at the rest."""

MARKS: tuple[tuple[int, bytes], ...] = (
    *((0, beginning) for its in _BEGINNINGS.values() for beginning in its),
    *((0, beginning) for beginning in (b"RIFF", b"FORM", b"OggS", b"\x1a\x45\xdf\xa3", b"BM", b"G", b"\xff", *_UTF_16)),
    *((4, box) for box in (b"ftyp", b"G", *_QUICKTIME)),
    (64, b"\x7f\x10\xda\xbe"), (257, b"ustar"), (510, b"\x55\xaa"), (1024, b"\x10\x20\xf5\xf2"), (1080, b"\x53\xef"),
)  # fmt: skip
"""Positions and bytes: what has none of them there, and a control character in its first GLANCE_BYTES, is OTHER. By
that machine code tells what need not be looked at, which is nearly all that nobody has a name for: 0.1 µs in place of
2."""


def kind_of_content(head: bytes) -> FileKind:
    """Return what kind of file begins so.

    Args:
        head: its first HEAD_BYTES, or all of it when it has fewer; at least one.
    """
    if head[4:8] == b"ftyp":
        return _of_brand(head[8:12])
    for beginning, kind in _BY_LETTER[head[0]]:
        if head.startswith(beginning):
            return _more_closely(head, kind)
    if _is_text(head):
        return _of_text(head)
    for look in (_of_streams, _of_containers, _of_marks_within):
        if (found := look(head)) is not None:
            return found
    return FileKind.OTHER


def _more_closely(head: bytes, kind: FileKind) -> FileKind:
    """Archives and images that are documents, and text that happens to begin like something else: what is no text has
    bytes that text has not, soon after its beginning."""
    if head.startswith(b"PK\x03\x04"):
        # Its first entry: the length of the name is at 26, that of what follows it at 28, the name at 30.
        length, more = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
        name, content = head[30 : 30 + length], head[30 + length + more :]
        if name.startswith(_ZIPPED_DOCUMENTS) or (name == b"mimetype" and content.startswith(_DOCUMENT_TYPES)):
            return FileKind.DOCUMENT
    if head.startswith(b"%!PS") and b"EPSF" in head[:32]:
        return FileKind.IMAGE
    return _of_text(head) if kind in _NEVER_TEXT and _is_text(head) else kind


def _of_brand(brand: bytes) -> FileKind:
    if brand in _STILL:
        return FileKind.IMAGE
    return FileKind.AUDIO if brand in _SOUND else FileKind.VIDEO


def _of_containers(head: bytes) -> FileKind | None:
    """What says only farther on what is in it."""
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"FORM"):
        return _IFF.get(head[8:12])
    if head.startswith(b"OggS"):
        return FileKind.VIDEO if b"\x80theora" in head[:64] else FileKind.AUDIO
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # nothing but Matroska and WebM is written so
        return FileKind.VIDEO
    if head.startswith(b"BM") and len(head) >= 26:  # the size of a BMP's second header is one of these
        return FileKind.IMAGE if int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124) else None
    return FileKind.VIDEO if head[4:8] in _QUICKTIME and head[:1] in (b"\0", b"\x01") else None


def _of_streams(head: bytes) -> FileKind | None:
    """Streams have no beginning, but marks at equal distances."""
    if head[0] == 0x47 and head[_TS_PACKET : _TS_PACKET + 1] == b"G" == head[2 * _TS_PACKET : 2 * _TS_PACKET + 1]:
        return FileKind.VIDEO
    if head[4:5] == b"G" == head[4 + 192 : 5 + 192] == head[4 + 384 : 5 + 384]:  # with time stamps: camcorders, Blu-ray
        return FileKind.VIDEO
    if head[0] == 0xFF and len(head) >= 4:
        version, layer, rate, sampling = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
        synchronised = head[1] >= 0xE0 and version != 1
        if synchronised and layer == 0 and head[1] >= 0xF0 and (head[2] >> 2 & 15) < 13:  # AAC in ADTS
            return FileKind.AUDIO
        if synchronised and layer and rate not in (0, 15) and sampling != 3:  # MPEG layers I to III
            return FileKind.AUDIO
    return None


def _of_marks_within(head: bytes) -> FileKind | None:
    if head[257:262] == b"ustar":
        return FileKind.ARCHIVE
    if head[64:68] == b"\x7f\x10\xda\xbe" or head[1080:1082] == b"\x53\xef" or head[1024:1028] == b"\x10\x20\xf5\xf2":
        return FileKind.DATABASE  # VirtualBox, ext2 to ext4, F2FS
    if head[510:512] == b"\x55\xaa" and (head[82:87] == b"FAT32" or head[54:57] == b"FAT" or head[3:7] == b"NTFS"):
        return FileKind.DATABASE
    # Only a disk with a partition table has a type at 450 and an active mark at 446.
    if head[510:512] == b"\x55\xaa" and head[446:447] in (b"\0", b"\x80") and head[450:451] not in (b"", b"\0"):
        return FileKind.DATABASE
    return None


def _is_text(head: bytes) -> bool:
    """Whether it is text in UTF-8, or begins as UTF-16 does."""
    if head.startswith(_UTF_16):
        return len(head) >= 4 and 0 in head[2:4]
    glance = head[:GLANCE_BYTES]
    if glance.translate(None, CONTROLS) != glance or head.translate(None, CONTROLS) != head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as e:
        # The last character may have been cut off by the end of what was read.
        return e.reason == "unexpected end of data" and len(head) == HEAD_BYTES
    return True


def _of_text(head: bytes) -> FileKind:
    """What is written in text and is a picture for whoever looks at it, or is text."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"<?xml", b"<svg", b"<!DOCTYPE svg")) and b"<svg" in start:
        return FileKind.IMAGE
    return FileKind.TEXT
