"""The hashes of machine code are those of `xxhash`, whatever comes in which pieces."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
from pathlib import Path

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.fsys import hashing, machine_code
from migmond.fsys.content import PairMemory, copy_content
from migmond.wire.slots import SLOT_BYTES, MoverSide

KINDS = {"plain": hashing.PlainHash, "skipping": hashing.hashes(machine_code.load())}
LENGTHS = st.one_of(st.integers(0, 70_000), st.sampled_from([64, 192, 240, 256, 1024, 2048, 3071, 3072, 3073, 1 << 20]))


def nothing(count: int) -> None:
    assert count == 0


def test_what_was_built_skips_zeros() -> None:
    """The others would not tell: they would compare `xxhash` with itself."""
    assert isinstance(KINDS["skipping"](), hashing.SkippingHash)
    assert hashing.hashes(None) is hashing.PlainHash


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.tuples(st.booleans(), LENGTHS), max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_data_and_holes_in_any_order(kind: str, runs: list[tuple[bool, int]], rng: random.Random) -> None:
    found, wanted = KINDS[kind](), xxhash.xxh3_128()
    for hole, length in runs:
        data = bytes(length) if hole else rng.randbytes(length)
        wanted.update(data)
        if hole:
            found.zeros(length, nothing)
        else:
            found.update(memoryview(bytearray(data)) if length % 2 else data)
    assert found.digest() == wanted.digest()


def test_a_hole_of_gigabytes_lets_others_come_between() -> None:
    """4 GiB: what holds only for numbers of 32 bits would show."""
    steps: list[int] = []
    found, wanted = KINDS["skipping"](), xxhash.xxh3_128()
    found.update(b"beginning")
    found.zeros((4 << 30) + 77, steps.append)
    found.update(b"end")
    wanted.update(b"beginning")
    piece = bytes(1 << 20)
    for _ in range(4 << 10):
        wanted.update(piece)
    wanted.update(bytes(77) + b"end")
    assert found.digest() == wanted.digest()
    assert len(steps) >= 4


def test_what_is_kept_of_data_is_not_taken_for_zeros() -> None:
    """Whoever asks for a run of zeros in the middle of data is refused, and nothing has happened."""
    code, machine = hashing._library(), machine_code.load()
    assert code is not None
    assert machine is not None
    code.XXH3_createState.restype = ctypes.c_void_p
    state = code.XXH3_createState()
    code.XXH3_128bits_reset(ctypes.c_void_p(state))
    for data in (b"", b"x" * 5000, bytes(200)):
        code.XXH3_128bits_update(ctypes.c_void_p(state), data, ctypes.c_size_t(len(data)))
        before = ctypes.string_at(state, 576)
        assert machine.migmond_hash_zeros(ctypes.c_void_p(state), ctypes.c_uint64(3)) == -1
        assert ctypes.string_at(state, 576) == before
    code.XXH3_freeState(ctypes.c_void_p(state))


def test_sparse_files_have_the_digest_of_what_they_read_as(tmp_path: Path) -> None:
    size, runs = 40 << 20, {8192: b"a" * 4096, 17 << 20: os.urandom(70_000), (40 << 20) - 5000: b"z" * 100}
    with open(tmp_path / "source", "wb") as file:
        file.truncate(size)
        for at, data in runs.items():
            file.seek(at)
            file.write(data)
    slot = MoverSide(mmap.mmap(-1, SLOT_BYTES))
    for make in KINDS.values():
        with open(tmp_path / "source", "rb") as source, open(tmp_path / "target", "w+b") as target:
            st_ = os.fstat(source.fileno())
            content = copy_content(
                source.fileno(), target.fileno(), st_, st_.st_dev, digest=True, reflink_wanted=False,
                memory=PairMemory(make), step=lambda _: None, meter=slot.meter,
            )  # fmt: skip
        assert content.digest == xxhash.xxh3_128_digest((tmp_path / "source").read_bytes())
        assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()


@given(st.binary(max_size=2000))
@settings(max_examples=50, deadline=None)
def test_the_function_for_machine_code_hashes_as_xxhash_does(data: bytes) -> None:
    address = hashing.hash_address()
    assert address is not None
    function = ctypes.CFUNCTYPE(hashing._Hash128, ctypes.c_char_p, ctypes.c_size_t)(address)
    assert hashing._digest(function(data, len(data))) == xxhash.xxh3_128_digest(data)


def test_where_the_library_cannot_be_found_xxhash_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_library", lambda: None)
    assert hashing.hash_address() is None
    assert hashing.hashes(machine_code.load()) is hashing.PlainHash


def test_another_library_than_expected_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        migmond_hash_zeros = staticmethod(lambda _state, _blocks: 0)

    skips_wrongly = hashing.hashes(Wrong())  # type: ignore[arg-type]
    assert skips_wrongly is hashing.PlainHash
