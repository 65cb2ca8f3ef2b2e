"""What everybody says of a migration's bytes is what strace saw its movers read and write, to the byte."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import trees
from counter_check import check
from counting import Counted, counted
from migmond.planning.magic import HEAD_BYTES

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (Debian: strace)")


def small(root: Path) -> None:
    trees.small_files(root, 1500, 3000, random.Random(1), per_directory=300)


def large(root: Path) -> None:
    trees.large_files(root, 2, 24 << 20, random.Random(2))
    trees.mixed_library(root / "library", 120, random.Random(3))


def odd(root: Path) -> None:
    """Holes, further names, empty files, hostile names."""
    trees.random_tree(root, random.Random(4), 300)
    trees.sparse_and_links(root / "holes", 5, random.Random(5))
    trees.every_kind(root / "kinds")
    shutil.rmtree(root / "kinds" / ("d" * 250))  # deeper than strace tells


@pytest.mark.parametrize("make", [small, large, odd])
def test_all_figures_are_those_of_strace(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "source")
    told = check(tmp_path / "work", tmp_path / "source")
    assert told.problems == ()
    assert told.traced.calls > told.entries // 2
    assert told.traced.source_looked <= told.entries * HEAD_BYTES
    assert told.data > 1 << 20


def test_what_strace_writes_is_read_as_it_is_meant(tmp_path: Path) -> None:
    """Names that look like calls, ends that are errors, other files, both directions."""

    def at(path: str) -> str:
        return "3<" + "".join(f"\\x{b:02x}" for b in path.encode()) + ">"

    s, t, other = at("/s/a = 7"), at("/t/a> (deleted)"), at("/sx/read(3</s/y>) = 9")
    (tmp_path / "calls.12").write_text(
        f'read({s}, ""..., 4097) = 4096\n'
        f"read({s}, 0x7f, 4096) = -1 EIO (Input/output error)\n"
        f'read({other}, ""..., 100) = 100\n'
        f'preadv({s}, [{{iov_base=""..., iov_len=9}}], 1, 0) = 9\n'
        f'pwritev2({t}, [{{iov_base=""..., iov_len=9}}], 1, 0, RWF_DONTCACHE) = 9\n'
        f"copy_file_range({s}, NULL, {t}, NULL, 500, 0) = 500\n"
        f"sendfile({t}, {s}, NULL, 60) = 60\n"
        f"ioctl({t}, BTRFS_IOC_CLONE or FICLONE, {s}) = 0\n"
    )
    assert counted(tmp_path, Path("/s"), Path("/t")) == Counted(
        source_read=4096 + 9 + 500 + 60, target_written=9 + 500 + 60, calls=5, clones=1
    )
