"""Where content lies, on real file systems that tell, and on some that do not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import loopfs
from migmond.fsys.extents import UNABLE, first_extent


def asked(path: Path) -> int | None:
    fd = os.open(path, os.O_RDONLY)
    try:
        return first_extent(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_it_is_the_byte_of_the_device_where_the_content_is(tmp_path: Path, kind: str) -> None:
    if missing := loopfs.missing(kind):
        pytest.skip(missing)
    with loopfs.mounted(tmp_path, kind) as fs:
        contents = {}
        for number in range(5):
            file = fs.root / f"file-{number}"
            file.write_bytes(os.urandom(1 << 16))
            contents[file] = file.read_bytes()
        (fs.root / "empty").write_bytes(b"")
        with (fs.root / "hole").open("wb") as hole:
            hole.truncate(1 << 20)
        subprocess.run(["sync", "-f", str(fs.root)], check=True)
        image = os.open(fs.image, os.O_RDONLY)
        try:
            for file, content in contents.items():
                at = asked(file)
                assert at is not None
                assert os.pread(image, 4096, at) == content[:4096]
        finally:
            os.close(image)
        assert asked(fs.root / "empty") is None
        assert asked(fs.root / "hole") is None


def test_a_file_system_in_memory_does_not_tell(other_fs: Path) -> None:
    (other_fs / "file").write_bytes(b"x")
    with pytest.raises(OSError, match=r".") as caught:
        asked(other_fs / "file")
    assert caught.value.errno in UNABLE
