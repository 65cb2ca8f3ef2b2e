"""The lines of a receipt: nothing in them is lost, nothing about them can be changed unseen."""

from __future__ import annotations

import base64
import hashlib
import json
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.domain import api
from migmond.domain.names import from_text, to_text
from migmond.domain.receipt import FORMAT, ReceiptEntry, ReceiptHeader, ReceiptWriter, exact_path
from receipts import check, entries

NAMES = st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"\0", b"\n").replace(b"/", b"\xff"))
HEADER = ReceiptHeader(
    receipt=FORMAT,
    execution="8f3a1c000000",
    name="media",
    state="completed",
    final=True,
    why="",
    operation="move",
    verify="hash",
    hash="xxh3_128",
    uid=1000,
    host="tank",
    migmond="1.0",
    created_at="2026-11-24T12:09:00.000+00:00",
    started_at="2026-11-24T12:09:01.000+00:00",
    ended_at="2026-11-24T12:10:00.000+00:00",
    plan=api.PlanSpec((api.SourceSpec("/mnt/a"),), "/mnt/b"),
)
ENTRIES = (
    ReceiptEntry(1, ".", "directory", 4096, 0, "done", "created"),
    ReceiptEntry(2, "a\\x0a", "file", 5, -1, "done", "copied", path_base64="YQo=", xxh3_128="ab" * 16),
    ReceiptEntry(3, "link", "symlink", 2, 7, "done", "created", lost=("owner",), xxh3_128="cd" * 16),
    ReceiptEntry(5, "b", "file", 70, 1 << 62, "failed", fault="copy: EIO: Input/output error"),
    ReceiptEntry(6, "c", "file", 30, 9, "done", "copied", target_name="c (1)"),
    ReceiptEntry(9, "c too", "file", 30, 9, "done", "linked", link_of=6),
)


def receipt(header: ReceiptHeader = HEADER, them: tuple[ReceiptEntry, ...] = ENTRIES) -> bytes:
    writer = ReceiptWriter()
    return b"".join([writer.header(header), *map(writer.entry, them), writer.footer()])


def test_a_receipt_is_json_lines_that_check_and_add_up() -> None:
    whole = receipt()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == len(ENTRIES) + 2
    found = check(whole)
    assert (found.damage, found.header) == ("", HEADER)
    assert found.footer is not None
    total = found.footer.sum
    assert (total.entries, total.bytes, total.unhashed, total.imperfect) == (
        6,
        105,
        1,
        1,
    )  # a further name has no bytes of its own
    assert total.states == {"done": api.TallyView(5, 35), "failed": api.TallyView(1, 70)}
    assert total.outcomes == {"copied": 2, "created": 2, "linked": 1, "none": 1}
    assert found.footer.sha256 == hashlib.sha256(b"".join(lines[:-1])).hexdigest()


def test_any_byte_that_changes_is_found_in_its_line() -> None:
    rng, whole = random.Random(5), receipt()
    line = 1
    for at, byte in enumerate(whole):
        damaged = bytearray(whole)
        damaged[at] = byte ^ rng.randrange(1, 256)
        found = check(bytes(damaged))
        assert (bool(found.damage), found.line) == (True, line), (at, found)
        line += byte == ord("\n")


def test_an_end_that_is_cut_off_or_grown_is_found() -> None:
    whole = receipt()
    for end in range(len(whole)):
        assert check(whole[:end]).damage
    assert check(whole + b"\n").damage
    assert check(whole + whole).line == len(ENTRIES) + 3


def test_lines_that_are_gone_doubled_or_in_another_order_are_found() -> None:
    lines = receipt().splitlines(keepends=True)
    for i in range(len(lines)):
        without = check(b"".join(lines[:i] + lines[i + 1 :]))
        assert (bool(without.damage), without.line) == (True, i + 1)
        assert check(b"".join([*lines[: i + 1], *lines[i:]])).line == i + 2
        for j in range(i + 1, len(lines)):
            swapped = lines.copy()
            swapped[i], swapped[j] = swapped[j], swapped[i]
            assert check(b"".join(swapped)).line == i + 1


@pytest.mark.parametrize(
    ("them", "damage"),
    [
        ((ENTRIES[1], ENTRIES[0]), "entry 1 stands after entry 2"),
        ((ENTRIES[0], ENTRIES[0]), "entry 1 stands after entry 1"),
        ((ReceiptEntry(1, "a", "file", 1, 1, "done", path_base64="Yg=="),), "are two paths"),
        ((ReceiptEntry(1, "a", "file", 1, 1, "done", path_base64="?"),), "are two paths"),
    ],
)
def test_a_receipt_that_makes_no_sense_is_not_intact(them: tuple[ReceiptEntry, ...], damage: str) -> None:
    found = check(receipt(them=them))
    assert damage in found.damage
    assert found.line == len(them) + 1


def test_a_receipt_of_the_first_format_is_still_checked() -> None:
    """There the bytes of a file counted for each of its names."""
    old = receipt(msgspec.structs.replace(HEADER, receipt=1))
    assert check(old).damage == "the sums or the hash in it are not those of the lines before it"
    *lines, last = old.splitlines(keepends=True)
    found = check(
        b"".join([*lines, last.replace(b'"bytes":105', b'"bytes":135').replace(b'"bytes":35', b'"bytes":65')])
    )
    assert (found.damage, found.footer is not None and found.footer.sum.bytes) == ("", 135)


def test_a_receipt_of_a_later_format_is_called_that() -> None:
    later = ReceiptWriter().header(msgspec.structs.replace(HEADER, receipt=FORMAT + 1))
    assert f"format {FORMAT + 1}" in check(later).damage


@pytest.mark.parametrize("hostile", [b"", b"\n", b"{}\n", b"\xff" * 100, b"[" * 100_000, receipt().splitlines()[-1]])
def test_what_is_no_receipt_is_said_to_be_none(hostile: bytes) -> None:
    found = check(hostile)
    assert (found.line, found.header, found.footer) == (1, None, None)
    assert found.damage


@settings(deadline=None)  # a busy machine takes its time
@given(st.lists(NAMES, min_size=1, max_size=5), NAMES)
def test_every_name_comes_back_exactly(parts: list[bytes], other: bytes) -> None:
    path = b"/".join(parts)
    entry = ReceiptEntry(
        1, to_text(path), "file", 0, 0, "done", path_base64=exact_path(path), target_name=to_text(other)
    )
    whole = receipt(them=(entry,))
    assert check(whole).damage == ""
    assert all(line.isprintable() for line in whole.decode().split("\n"))
    (found,) = entries(whole).values()
    assert from_text(found["path"]) == path
    assert from_text(found["target_name"]) == other
    exact = found.get("path_base64")
    assert (base64.b64decode(exact) if exact else found["path"].encode()) == path


@settings(deadline=None)
@given(st.text(max_size=50))
def test_whatever_people_typed_cannot_spoil_a_line(text: str) -> None:
    whole = receipt(msgspec.structs.replace(HEADER, name=text, why=text))
    assert check(whole).damage == ""
    assert all(line.isprintable() for line in whole.decode().split("\n"))
    assert json.loads(whole.splitlines()[0])["why"] == text
