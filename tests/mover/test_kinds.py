"""What kind of file one is whose name does not tell: found out while it is copied, by both ways of copying."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magic_samples import SAMPLES
from migmond.domain.file_kinds import FileKind
from migmond.domain.plan import VerifyLevel
from migmond.fsys import machine_code
from migmond.mover.group import Block
from migmond.mover.kinds import look_into, marks
from migmond.planning.magic import CONTROLS, GLANCE_BYTES, HEAD_BYTES, MARKS, kind_of_content
from migmond.wire.items import WITHHELD, WorkItem
from migmond.wire.slots import ControlSide
from migmond.wire.work import FILE, PlainFiles, WorkDirectory
from parts import Mover, item_of

needs_machine_code = pytest.mark.skipif(
    not machine_code.built() and os.environ.get("CI") != "true", reason="there was no C compiler when .venv was set up"
)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
FILES = {
    b"README": b"hello\n", b"scan": PNG, b"scan.png": PNG, b"movie.MKV": b"no movie", b"empty": b"",
    b"odd.xyz": b"\0\1\2", b"large": PNG + bytes(3 << 20), b"page.1": b".TH x\n",
}  # fmt: skip
TOLD = {
    b"README": FileKind.TEXT, b"scan": FileKind.IMAGE, b"odd.xyz": FileKind.OTHER, b"large": FileKind.IMAGE,
    b"page.1": FileKind.TEXT,
}  # fmt: skip
"""Of the others names tell, or nothing is in them."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    for name, content in FILES.items():
        (root / os.fsdecode(name)).write_bytes(content)
    return root


def packed(root: Path) -> WorkDirectory:
    """Return small files as the daemon packs them, and the large one."""
    files, names, device = [], [], 0
    for number, name in enumerate(FILES, 1):
        st = (root / os.fsdecode(name)).stat()
        device = st.st_dev
        if name != b"large":
            names.append(name)
            files.append(FILE.pack(number, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, 1, 0))
    plain = PlainFiles(b"".join(n + b"\0" for n in names), b"".join(files), device)
    number = list(FILES).index(b"large") + 1
    return WorkDirectory(0, b"", (item_of(number, b"large", (root / "large").stat()),), plain=plain)


@pytest.mark.parametrize("machine_code", [False, True])
@pytest.mark.parametrize("verify", [VerifyLevel.NONE, VerifyLevel.HASH])
def test_both_ways_of_copying_tell_the_same(
    tmp_path: Path, source: Path, machine_code: bool, verify: VerifyLevel
) -> None:
    mover = Mover(source, tmp_path / "target", verify=verify, machine_code=machine_code)
    copied = list(mover.copier.copy_directory(packed(source), 1))
    blocks = [one for one in copied if isinstance(one, Block)]
    assert bool(blocks) is machine_code
    assert all(block.hashed is (verify is VerifyLevel.HASH) for block in blocks)
    names = dict(enumerate(FILES, 1))
    assert {names[n]: kind for n, kind in mover.context.kinds.take().items()} == TOLD
    assert mover.context.kinds.take() == {}


def item(source: Path, name: str, *withhold: FileKind) -> WorkItem:
    made = item_of(7, os.fsencode(name), (source / name).stat())
    return msgspec.structs.replace(made, withhold=withhold)


@pytest.mark.parametrize("move", [False, True])
def test_what_is_withheld_is_not_copied_and_tells_why(tmp_path: Path, source: Path, move: bool) -> None:
    target = tmp_path / "target"
    mover = Mover(source, target, move=move, recorded_device=source.stat().st_dev)
    withheld = mover.copier.copy(item(source, "scan", FileKind.VIDEO, FileKind.IMAGE), 0, b"", 1)
    assert withheld.arrival is None
    assert withheld.result.fault is not None
    assert (withheld.result.fault.kind, withheld.result.fault.message) == (WITHHELD, "its content is image")
    assert mover.context.kinds.take() == {7: FileKind.IMAGE}
    assert os.listdir(target) == []
    assert (source / "scan").exists()
    passed = mover.copier.copy(item(source, "README", FileKind.VIDEO, FileKind.IMAGE), 0, b"", 1)
    assert passed.arrival is not None
    named = mover.copier.copy(item(source, "scan.png", FileKind.IMAGE), 0, b"", 1)
    assert named.arrival is not None  # whoever withholds by content does not mean what names tell


@pytest.mark.parametrize("machine_code", [False, pytest.param(True, marks=needs_machine_code)])
def test_an_entry_that_begins_again_is_not_taken_for_what_was_read_before(
    tmp_path: Path, source: Path, machine_code: bool
) -> None:
    """Whoever asks before it is read would pause it for what it was: an image that became a text."""
    mover = Mover(source, tmp_path / "target", machine_code=machine_code)
    slot = mover.context.controls.slot
    control = ControlSide(slot.memory)
    number = 1 + list(FILES).index(b"README")
    slot.found_kind(number, FileKind.IMAGE)
    assert control.kind_of(number) is FileKind.IMAGE
    if machine_code:
        directory = packed(source)
        assert directory.plain is not None
        only = msgspec.structs.replace(directory, items=())
        assert any(isinstance(one, Block) for one in mover.copier.copy_directory(only, 1))
    else:
        mover.context.controls.entry(number, 6, b"README")
    assert control.kind_of(number) is None


def test_what_cannot_be_read_tells_nothing(tmp_path: Path, source: Path) -> None:
    os.mkfifo(source / "fifo")
    (source / "link").symlink_to("scan")
    here = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert [look_into(here, n) for n in (b"scan", b"empty", b"none", b"fifo", b"link")] == [
            FileKind.IMAGE, None, None, None, None,
        ]  # fmt: skip
    finally:
        os.close(here)


# --- what machine code does not look into ----------------------------------------------------------


def may_tell(head: bytes) -> bool:
    library, known = machine_code.load(), marks()
    assert library is not None
    found = library.migmond_may_tell(known, ctypes.c_uint64(len(MARKS)), head, ctypes.c_size_t(len(head)))
    return bool(found)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Anything, with some of what tells put where it tells, or one byte beside it; often no text at once."""
    head = bytearray(draw(st.binary(min_size=1, max_size=80)))
    head += bytes(draw(st.sampled_from([0, 0, 500, 1100, HEAD_BYTES])))
    for offset, mark in draw(st.lists(st.sampled_from(MARKS), max_size=2)):
        at = max(0, offset + draw(st.sampled_from([0, 0, 0, 1, -1])))
        head[at : at + len(mark)] = mark
    return bytes(head)


@needs_machine_code
@given(st.one_of(heads(), st.text(min_size=1).map(str.encode), st.sampled_from([head for head, _ in SAMPLES.values()])))
@settings(max_examples=1500, deadline=None)
def test_nothing_is_passed_over_that_has_a_kind(head: bytes) -> None:
    if not may_tell(head):
        assert kind_of_content(head[:HEAD_BYTES]) is FileKind.OTHER


@needs_machine_code
def test_what_has_no_mark_and_is_no_text_is_passed_over() -> None:
    """Else it would be right, and of no use."""
    assert not may_tell(b"\0" * 5000)
    assert not may_tell(b"x" * (GLANCE_BYTES - 1) + b"\0")
    assert may_tell(b"x" * GLANCE_BYTES + b"\0")
    for number in range(256):
        assert may_tell(b"xx" + bytes([number]) * 3) is (number not in CONTROLS), number
    for offset, mark in MARKS:
        assert may_tell(b"\0" * offset + mark + b"\0"), mark
