"""Beginnings of files of every kind, by what people call them: written by those who define their formats, or as their
documents have them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import wave
import zipfile

from migmond.domain.file_kinds import FileKind
from migmond.planning.magic import HEAD_BYTES

K = FileKind


def box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def zipped(*entries: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return made.getvalue()


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return made.getvalue()


def waved() -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(100))
    return made.getvalue()


def packets(size: int, first: int) -> bytes:
    """An MPEG transport stream: every packet begins with a G, behind a time stamp or not."""
    return b"".join(bytes(first) + b"G" + bytes(range(1, 188)) for _ in range(size))


def disk(at: int, mark: bytes) -> bytes:
    image = bytearray(HEAD_BYTES)
    image[at : at + len(mark)] = mark
    return bytes(image)


SAMPLES: dict[str, tuple[bytes, FileKind]] = {
    "mp4": (box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41") + box(b"free", b""), K.VIDEO),
    "mov": (box(b"ftyp", b"qt  \0\0\2\0qt  "), K.VIDEO),
    "old mov": (box(b"moov", box(b"mvhd", bytes(100))), K.VIDEO),
    "m4a": (box(b"ftyp", b"M4A \0\0\2\0M4A mp42"), K.AUDIO),
    "heic": (box(b"ftyp", b"heic\0\0\0\0mif1heic"), K.IMAGE),
    "avif": (box(b"ftyp", b"avif\0\0\0\0avifmif1"), K.IMAGE),
    "mkv": (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x23\x42\x86\x81\x01\x42\x82\x88matroska", K.VIDEO),
    "avi": (b"RIFF\x10\0\0\0AVI LIST", K.VIDEO),
    "ts": (packets(5, 0), K.VIDEO),
    "m2ts": (packets(5, 4), K.VIDEO),
    "ogv": (b"OggS\0\2" + bytes(20) + b"\1\x2a\x80theora\3\2\1", K.VIDEO),
    "wmv": (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel", K.VIDEO),
    "wav": (waved(), K.AUDIO),
    "mp3 with tags": (b"ID3\3\0\0\0\0\0\x0a" + bytes(50), K.AUDIO),
    "mp3": (b"\xff\xfb\x90\x64" + bytes(400), K.AUDIO),
    "aac": (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(100), K.AUDIO),
    "flac": (b"fLaC\0\0\0\x22", K.AUDIO),
    "opus": (b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead\1\2", K.AUDIO),
    "midi": (b"MThd\0\0\0\6\0\1", K.AUDIO),
    "jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", K.IMAGE),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", K.IMAGE),
    "gif": (b"GIF89a\1\0\1\0", K.IMAGE),
    "webp": (b"RIFF\x10\0\0\0WEBPVP8 ", K.IMAGE),
    "bmp": (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\2\0\0\0\2\0\0\0", K.IMAGE),
    "tiff": (b"II*\0\x08\0\0\0", K.IMAGE),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', K.IMAGE),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", K.IMAGE),
    "ps": (b"%!PS-Adobe-3.0\n%%Title: x\n", K.DOCUMENT),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", K.DOCUMENT),
    "rtf": (b"{\\rtf1\\ansi", K.DOCUMENT),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), K.DOCUMENT),
    "docx": (zipped(("[Content_Types].xml", b"<?xml?>"), ("word/document.xml", b"x")), K.DOCUMENT),
    "odt": (zipped(("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", b"x")), K.DOCUMENT),
    "epub": (zipped(("mimetype", b"application/epub+zip"), ("META-INF/container.xml", b"x")), K.DOCUMENT),
    "djvu": (b"AT&TFORM\0\0\0\x10DJVM", K.DOCUMENT),
    "zip": (zipped(("a.txt", b"x")), K.ARCHIVE),
    "zip with a mimetype of its own": (zipped(("mimetype", b"application/java-archive")), K.ARCHIVE),
    "gz": (gzip.compress(b"x"), K.ARCHIVE),
    "bz2": (bz2.compress(b"x"), K.ARCHIVE),
    "xz": (lzma.compress(b"x"), K.ARCHIVE),
    "lzma": (lzma.compress(b"x", lzma.FORMAT_ALONE), K.ARCHIVE),
    "zst": (b"\x28\xb5\x2f\xfd\x04\x58", K.ARCHIVE),
    "tar": (tarred(), K.ARCHIVE),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", K.ARCHIVE),
    "deb": (b"!<arch>\ndebian-binary   1410122664  0     0     100644  4         `\n2.0\n\0", K.ARCHIVE),
    "qcow2": (b"QFI\xfb\0\0\0\3", K.DATABASE),
    "vdi": (b"<<< Oracle VM VirtualBox Disk Image >>>\n" + bytes(100), K.DATABASE),
    "ext4": (disk(1080, b"\x53\xef"), K.DATABASE),
    "partitions": (disk(446, b"\x80\x20\x21\0\x83") [:510] + b"\x55\xaa" + bytes(100), K.DATABASE),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0", K.DATABASE),
    "script": (b"#!/bin/sh\nexit 0\n", K.TEXT),
    "makefile": (b"all:\n\tcc x.c\n", K.TEXT),
    "latin": ("Grüße, 世界\n".encode(), K.TEXT),
    "utf-16": ("héllo".encode("utf-16"), K.TEXT),
    "xml": (b"<?xml version='1.0'?><a/>", K.TEXT),
    "program": (b"\x7fELF\2\1\1" + bytes(9) + b"\3\0\x3e\0", K.OTHER),
    "random": (b"\x8f\x01\x02\x9c\xe7\x00\xb4", K.OTHER),
    "zeros": (bytes(HEAD_BYTES), K.OTHER),
    "latin 1": (b"caf\xe9\n", K.OTHER),
}  # fmt: skip
