"""What kind of file an entry is, by its name alone, and how large: the classes by which progress is told."""

from __future__ import annotations

from migmond.domain.entry import EntryType

SIZE_BOUNDS = (0, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20, 1 << 30)
"""The largest size of each class but the last, bytes. 4 KiB is a block: what fits costs a file and hardly any bytes;
1 MiB is what goes packed (wire.work); from 64 MiB on a file is shown by itself (planning of the dashboard, issue 5)."""
SIZES = ("empty", "≤4 KiB", "≤64 KiB", "≤1 MiB", "≤16 MiB", "≤64 MiB", "≤1 GiB", ">1 GiB")
"""What they are called. What is no file has no content, and is in the first one."""

_EXTENSIONS: dict[str, str] = {
    "video": "mp4 m4v mkv mov avi wmv flv webm mpg mpeg m2ts mts vob ogv 3gp mxf rm rmvb divx asf f4v insv braw r3d dv",
    "audio": "mp3 flac wav m4a aac ogg oga opus wma aiff aif aifc ape alac mid midi amr m4b wv dsf dff mka caf au",
    "image": "jpg jpeg jpe png gif tif tiff bmp webp heic heif avif svg svgz ico psd psb xcf cr2 cr3 crw nef nrw arw"
    " dng raf orf rw2 pef srw raw jp2 jxl exr hdr tga ai eps indd kra dcm fits xmp",
    "document": "pdf doc docx docm dot dotx odt ott rtf xls xlsx xlsm xlsb ods csv tsv ppt pptx pptm odp odg key pages"
    " numbers epub mobi azw azw3 djvu ps tex bib xps eml msg mbox vcf ics one vsd vsdx",
    "archive": "zip tar gz tgz bz2 tbz tbz2 xz txz zst tzst lz lz4 lzma 7z rar z cab arj lzh cpio ar jar war ear whl"
    " deb rpm apk snap flatpak dmg pkg msi crate gem egg br",
    "code or text": "txt md rst log c h cc cpp cxx hh hpp hxx py pyi pyx js mjs cjs jsx ts tsx java kt kts go rs rb php"
    " pl pm sh bash zsh fish ps1 bat cmd lua r jl scala clj hs ml mli fs fsx cs vb swift m mm d f f90 f95 for asm s sql"
    " html htm xhtml css scss sass less xml xsd xsl json jsonl yaml yml toml ini cfg conf properties ipynb vue svelte"
    " dart erl ex exs el lisp scm v sv vhd proto graphql tf cmake mk gradle patch diff srt vtt po pot",
    "database or disk image": "db db3 sqlite sqlite3 mdb accdb dbf mdf ldf ndf ibd frm myd myi dump bak parquet orc"
    " avro feather h5 hdf5 nc npy npz pkl rdb aof wal sst ldb iso img vmdk vdi vhdx qcow qcow2 qed ova ovf vmem"
    " vmsn nvram dd e01 wim swm hdd",
}
"""By the last extension, whatever its case: the name tells nothing for sure, and reading the content costs more than
copying a small file. Collected from the types that file(1), freedesktop's shared-mime-info and rclone's and ncdu's
users sort by; the few that mean several things (`key`, `ts`, `m`, `d`, `v`) stand where most of such files are."""

_NO_FILES = {
    EntryType.DIRECTORY: "directory",
    EntryType.SYMLINK: "symlink",
    EntryType.FIFO: "special",
    EntryType.SOCKET: "special",
    EntryType.CHAR_DEVICE: "special",
    EntryType.BLOCK_DEVICE: "special",
}
TYPES = (*_EXTENSIONS, "other", "directory", "symlink", "special")
"""What the kinds are called; `other` are files whose extension is in no list, or that have none."""

CELLS = len(TYPES) * len(SIZES)
"""Of each kind and size one; the cell of kind t and size s is t * len(SIZES) + s."""

_REMEMBERED = 4096
_LONGEST = 16


class CellsOfNames(dict[bytes, int]):
    """By extension with its dot, as it is written, the first cell of its kind; of anything else that of `other`.

    Read `cells[name[name.rfind(b".") :]]`: a name without a dot gives one letter, which is no extension. What is not
    listed is remembered as it is met, so that upper case and the unknown cost no more (up to a bound).
    """

    def __init__(self) -> None:
        super().__init__()
        self._other = TYPES.index("other") * len(SIZES)
        for position, text in enumerate(_EXTENSIONS.values()):
            self.update((b"." + extension.encode(), position * len(SIZES)) for extension in text.split())
        self._most = len(self) + _REMEMBERED

    def __missing__(self, extension: bytes) -> int:
        cell = self.get(extension.lower(), self._other)
        if len(self) < self._most and len(extension) <= _LONGEST:
            self[extension] = cell
        return cell


def cells_of_no_files() -> tuple[int, ...]:
    """Return by EntryType the cell of what is no file (and 0 for files, whose cell depends on name and size)."""
    return tuple(TYPES.index(_NO_FILES[t]) * len(SIZES) if t in _NO_FILES else 0 for t in EntryType)
