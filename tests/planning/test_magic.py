"""Content tells what a file is: files written by those who define their formats, and beginnings as their documents have
them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magic_samples import SAMPLES
from migmond.domain.file_kinds import EXTENSIONS, FileKind, tells_kind
from migmond.planning.magic import HEAD_BYTES, kind_of_content

K = FileKind


@pytest.mark.parametrize("name", SAMPLES)
def test_a_beginning_tells_the_kind(name: str) -> None:
    content, kind = SAMPLES[name]
    assert kind_of_content(content[:HEAD_BYTES]) is kind


def test_a_database_that_sqlite_has_written(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x") as db:
        db.execute("CREATE TABLE t (a)")
    db.close()
    assert kind_of_content((tmp_path / "x").read_bytes()[:HEAD_BYTES]) is K.DATABASE


@pytest.mark.parametrize(
    "begin", ["MAC addresses", "ORCHIDS", "DSD is", "ID3 tags", "BZhou", "PAR1S", "PK", "Rar!", "BM", "GIF", "<<< me",
              "RIFF", "FORM", "OggS", "G" + "o" * 187 + "G" + "o" * 187 + "G", "II", "MZ", "070707", "From me"]
)  # fmt: skip
def test_text_that_begins_like_something_else_is_text(begin: str) -> None:
    assert kind_of_content(f"{begin} and so on\n".encode()) is K.TEXT


@given(st.binary(min_size=1, max_size=HEAD_BYTES))
def test_anything_has_a_kind(head: bytes) -> None:
    assert kind_of_content(head) in FileKind


@given(st.sampled_from(sorted(SAMPLES)), st.integers(1, 700))
def test_what_is_cut_off_has_a_kind(name: str, length: int) -> None:
    assert kind_of_content(SAMPLES[name][0][:length]) in FileKind


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(WORDS)
def test_text_stays_text_wherever_it_is_cut_off(words: str) -> None:
    text = ("so " + words + "\n").encode() * (HEAD_BYTES // len(words) + 1)
    assert kind_of_content(text[:HEAD_BYTES]) is K.TEXT


def test_names_tell_by_their_last_extension_whatever_its_case() -> None:
    named = [b"a.jpg", b"A.JPG", b"x.tar.zst", b".png"]
    assert [tells_kind(name) for name in (*named, b"Makefile", b"a.", b"x.odd", b"", b"jpg", b"a.jpg.1")] == [
        *[True] * len(named), *[False] * 6,
    ]  # fmt: skip
    every = [extension for its in EXTENSIONS.values() for extension in its]
    assert len(every) == len(set(every))  # each of one kind
