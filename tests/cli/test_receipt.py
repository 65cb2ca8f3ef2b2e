"""`migmon receipt`: printed, saved whole or not at all, checked without a daemon."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import trees
from canned import DONE, always
from daemon import EmbeddedDaemon
from fake_daemon import Connection, FakeDaemon
from migmond.domain import api
from migmond.domain.receipt import FORMAT, ReceiptEntry, ReceiptHeader, ReceiptPage, Seals, SealView
from receipts import check


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDaemon]:
    home = tmp_path_factory.mktemp("receipts")
    trees.random_tree(home / "source", random.Random(1), 60)
    with EmbeddedDaemon(home / "daemon") as running:
        running.migmon("run", str(home / "source"), str(home / "target"), "--name", "holiday")
        yield running


def test_printed_and_saved_it_is_the_same(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    printed = daemon.migmon("receipt", "holiday").stdout.encode()
    found = check(printed)
    assert found.damage == ""
    assert found.footer is not None
    saved = daemon.migmon("receipt", "holiday", "--output", str(tmp_path / "r"))
    assert (tmp_path / "r").read_bytes() == printed
    assert found.footer.sha256 in saved.stdout
    assert "holiday" in saved.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600  # names of files are as private as the files

    again = daemon.migmon("receipt", "holiday", "--output", str(tmp_path / "r"), check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert "-y" in again.stderr
    replaced = daemon.migmon("receipt", "holiday", "-o", str(tmp_path / "r"), "-y", "--json")
    envelope = json.loads(replaced.stdout)
    assert (envelope["kind"], envelope["data"]["sha256"]) == ("receipt", found.footer.sha256)


def test_a_saved_one_is_checked_without_a_daemon(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    saved, nobody = tmp_path / "r", EmbeddedDaemon(tmp_path / "nobody")
    daemon.migmon("receipt", "holiday", "-o", str(saved))
    intact = nobody.migmon("receipt", "--check", str(saved))
    assert "intact: holiday" in intact.stdout
    data = json.loads(nobody.migmon("receipt", "--check", str(saved), "--json").stdout)["data"]
    assert (data["intact"], data["header"]["name"]) == (True, "holiday")

    lines = saved.read_bytes().splitlines(keepends=True)
    lines[6] = lines[6].replace(b'"mtime_ns":', b'"mtime_ns":1')
    saved.write_bytes(b"".join(lines))
    damaged = nobody.migmon("receipt", "--check", str(saved), check=False)
    assert (damaged.returncode, damaged.stdout) == (1, "")
    assert "damaged at line 7:" in damaged.stderr
    assert "hint: migmon receipt" in damaged.stderr
    told = nobody.migmon("receipt", "--check", str(saved), "--json", check=False)
    assert (told.returncode, json.loads(told.stdout)["data"]["line"]) == (1, 7)


@pytest.mark.parametrize("words", [[], ["holiday", "--check", "r", "-o", "s"], ["--check", "r", "-o", "s"]])
def test_what_makes_no_sense_is_refused(daemon: EmbeddedDaemon, words: list[str]) -> None:
    refused = daemon.migmon("receipt", *words, check=False)
    assert refused.returncode == 2
    assert ("--check reads a saved one" if words else "give the ID of a migration") in refused.stderr


def test_what_cannot_be_read_or_written_is_said(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    for words in (["--check", str(tmp_path / "none")], ["holiday", "-o", str(tmp_path / "none" / "r")]):
        failed = daemon.migmon("receipt", *words, check=False)
        assert failed.returncode == 1
        assert "No such file or directory" in failed.stderr
    assert daemon.migmon("receipt", "nobody", check=False).returncode == 4


def header(**changes: Any) -> ReceiptHeader:
    plan = api.PlanSpec((api.SourceSpec("/a"),), "/b")
    ended = ReceiptHeader(
        FORMAT, "8f3a1c000000", "media", "completed", True, "", "copy", "hash", "xxh3_128", 0, "", "", "t", None, None,
        plan,
    )  # fmt: skip
    return msgspec.structs.replace(ended, **changes)


def test_half_a_receipt_is_never_left(tmp_path: Path) -> None:
    """The execution was set going again between two pages."""

    def page(connection: Connection, params: dict[str, Any]) -> ReceiptPage:
        after = params.get("after", 0)
        entry = ReceiptEntry(after + 1, f"f{after}", "file", 1, 1, "done")
        return ReceiptPage(header(final=False, state="running") if after else header(), (entry,), after + 1)

    with FakeDaemon(tmp_path / "socket", {"execution.get": always(DONE), "execution.receipt": page}) as daemon:
        failed = run(daemon.path, "media", "-o", str(tmp_path / "r"))
    assert failed.returncode == 1
    assert "set going again" in failed.stderr
    assert not list(tmp_path.glob("r*"))


def test_memory_does_not_grow_with_the_entries(tmp_path: Path) -> None:
    """A hundred thousand entries are 14 MB of lines, and more as objects."""
    wanted = 0

    def page(connection: Connection, params: dict[str, Any]) -> ReceiptPage:
        after = params.get("after", 0)
        numbers = range(after + 1, min(after + 1000, wanted) + 1)
        entries = tuple(
            ReceiptEntry(n, f"directory/{n:060}", "file", 1, 1, "done", xxh3_128="ab" * 16) for n in numbers
        )
        return ReceiptPage(header(), entries, entries[-1].number if entries else None)

    def seals(connection: Connection, params: dict[str, Any]) -> Seals:
        last = json.loads(saved.read_bytes()[-500:].splitlines()[-1])
        return Seals(params["id"], True, (SealView(last["sha256"], FORMAT, "2026-01-01T00:00:00Z", None),))

    peaks: list[int] = []
    handlers = {"execution.get": always(DONE), "execution.receipt": page, "execution.seal_receipt": seals}
    with FakeDaemon(tmp_path / "socket", handlers) as daemon:
        for wanted in (2_000, 100_000):
            saved = tmp_path / str(wanted)
            peaks += [
                peak_bytes(daemon.path, "media", "-o", str(saved)),
                peak_bytes(daemon.path, "--check", str(saved)),
            ]
    assert saved.stat().st_size > 14_000_000
    assert max(peaks) - min(peaks) < 8 << 20


def run(socket: str, *words: str, program: tuple[str, ...] = ("-m", "migmond.cli")) -> subprocess.CompletedProcess[str]:
    environment = {**EmbeddedDaemon(Path(socket).parent / "home").environment, "MIGMOND_SOCKET": socket}
    return subprocess.run(
        [sys.executable, *program, "receipt", *words], env=environment, capture_output=True, text=True, check=False
    )


_MEASURED = """
from migmond.cli.main import main
try:
    main()
finally:
    print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_bytes(socket: str, *words: str) -> int:
    """Return the peak of resident memory of `migmon receipt`."""
    done = run(socket, *words, program=("-c", _MEASURED))
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split("VmHWM:")[1].split()[0]) << 10


def test_a_place_that_is_not_there_is_named_as_it_was_given(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    wrong = tmp_path / "nope" / "x"
    refused = daemon.migmon("receipt", "holiday", "-o", str(wrong), check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[0] == f"error: No such file or directory: {wrong}"
