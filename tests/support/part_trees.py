"""Trees of files of several kinds and sizes, and what a count of one entry after the other makes of them."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from pathlib import Path

from migmond.analytics.classes import SIZE_BOUNDS, SIZES
from migmond.domain.execution import Tally

KINDS = {".jpg": "image", ".MP4": "video", ".txt": "code or text", ".odd": "other", "": "other"}
"""What has no extension that anybody knows is full of zeros, which are nothing that anybody knows either."""


def random_tree(root: Path, files: int, seed: int = 5) -> None:
    """Files of several kinds and sizes in directories up to five deep, some of them with a further name."""
    rng = random.Random(seed)
    directories = [root]
    root.mkdir(parents=True)
    for number in range(files // 8):
        directory = rng.choice(directories) / f"d{number}"
        if len(directory.relative_to(root).parts) < 6:
            directory.mkdir()
            directories.append(directory)
    for number in range(files):
        path = rng.choice(directories) / f"f{number}{rng.choice(list(KINDS))}"
        size = rng.choice([0, 1, 4096, 4097, 70_000])
        path.write_bytes(rng.randbytes(size) if KINDS[path.suffix] != "other" else bytes(size))
        if number % 9 == 0:
            os.link(path, rng.choice(directories) / f"l{number}{path.suffix}")
    (root / "symlink.jpg").symlink_to("nowhere")


def naive(root: Path) -> dict[tuple[str, str, str], Tally]:
    """Count a tree by kind, size class and directory, one entry after the other; bytes once for each inode."""
    found: dict[tuple[str, str, str], Tally] = defaultdict(Tally)
    seen: set[int] = set()
    for path in sorted([root, *root.rglob("*")]):
        st, file = path.lstat(), path.is_file() and not path.is_symlink()
        kind = KINDS[path.suffix] if file else ("symlink" if path.is_symlink() else "directory")
        size = SIZES[sum(st.st_size > bound for bound in SIZE_BOUNDS)] if file else SIZES[0]
        steps = () if path == root else path.parent.relative_to(root).parts
        counted = st.st_size if file and st.st_ino not in seen else 0
        seen |= {st.st_ino} if file else set()
        key = (kind, size, "/".join(steps[:2]))
        found[key] = found[key].plus(1, counted)
    return found
