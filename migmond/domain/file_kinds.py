"""What kinds of file there are, and which of them a name tells."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class FileKind(enum.IntEnum):
    """What a file is for whoever looks at it. The numbers are journaled: never renumber."""

    OTHER = 0
    """Its content is none of those below: programs, encrypted data, formats that nobody listed."""
    VIDEO = 1
    AUDIO = 2
    IMAGE = 3
    DOCUMENT = 4
    ARCHIVE = 5
    TEXT = 6
    DATABASE = 7


EXTENSIONS: Mapping[FileKind, frozenset[bytes]] = {
    FileKind.VIDEO: frozenset(
        b"mp4 m4v mkv mov avi wmv flv webm mpg mpeg m2ts mts vob ogv 3gp mxf rm rmvb divx asf f4v insv braw r3d"
        b" dv".split()
    ),
    FileKind.AUDIO: frozenset(
        b"mp3 flac wav m4a aac ogg oga opus wma aiff aif aifc ape alac mid midi amr m4b wv dsf dff mka caf au".split()
    ),
    FileKind.IMAGE: frozenset(
        b"jpg jpeg jpe png gif tif tiff bmp webp heic heif avif svg svgz ico psd psb xcf cr2 cr3 crw nef nrw arw"
        b" dng raf orf rw2 pef srw raw jp2 jxl exr hdr tga ai eps indd kra dcm fits xmp".split()
    ),
    FileKind.DOCUMENT: frozenset(
        b"pdf doc docx docm dot dotx odt ott rtf xls xlsx xlsm xlsb ods csv tsv ppt pptx pptm odp odg key pages"
        b" numbers epub mobi azw azw3 djvu ps tex bib xps eml msg mbox vcf ics one vsd vsdx".split()
    ),
    FileKind.ARCHIVE: frozenset(
        b"zip tar gz tgz bz2 tbz tbz2 xz txz zst tzst lz lz4 lzma 7z rar z cab arj lzh cpio ar jar war ear whl"
        b" deb rpm apk snap flatpak dmg pkg msi crate gem egg br".split()
    ),
    FileKind.TEXT: frozenset(
        b"txt md rst log c h cc cpp cxx hh hpp hxx py pyi pyx js mjs cjs jsx ts tsx java kt kts go rs rb php"
        b" pl pm sh bash zsh fish ps1 bat cmd lua r jl scala clj hs ml mli fs fsx cs vb swift m mm d f f90 f95 for asm"
        b" s sql html htm xhtml css scss sass less xml xsd xsl json jsonl yaml yml toml ini cfg conf properties ipynb"
        b" vue svelte dart erl ex exs el lisp scm v sv vhd proto graphql tf cmake mk gradle patch diff srt vtt po"
        b" pot".split()
    ),
    FileKind.DATABASE: frozenset(
        b"db db3 sqlite sqlite3 mdb accdb dbf mdf ldf ndf ibd frm myd myi dump bak parquet orc"
        b" avro feather h5 hdf5 nc npy npz pkl rdb aof wal sst ldb iso img vmdk vdi vhdx qcow qcow2 qed ova ovf vmem"
        b" vmsn nvram dd e01 wim swm hdd".split()
    ),
}
"""By the last extension, in lower case. Collected from the types that file(1), freedesktop's shared-mime-info and
rclone's and ncdu's users sort by; the few that mean several things (`key`, `ts`, `m`, `d`, `v`) stand where most of
such files are."""

LISTED: frozenset[bytes] = frozenset(b"." + extension for its in EXTENSIONS.values() for extension in its)
"""All of them, with their dots: what has a name that ends in one of these is not read for that."""


def tells_kind(name: bytes) -> bool:
    """Whether the last extension of a base name, whatever its case, is one that says what kind of file it is."""
    extension = name[name.rfind(b".") :]  # of a name without a dot one letter, which is no extension
    return extension in LISTED or extension.lower() in LISTED
