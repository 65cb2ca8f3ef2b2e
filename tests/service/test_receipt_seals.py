"""A receipt that somebody rewrote as a whole adds up; the journal of the real daemon tells it from the true one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daemon import EmbeddedDaemon
from migmond.domain.receipt import ReceiptEntry, ReceiptHeader, ReceiptWriter
from migmond_sqlite.connections import run
from migmond_sqlite.database import open_writer


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    (tmp_path / "source").mkdir()
    for name in ("a", "b"):
        (tmp_path / "source" / name).write_bytes(name.encode() * 10)
    with EmbeddedDaemon(tmp_path / "daemon") as running:
        running.migmon("run", str(tmp_path / "source"), str(tmp_path / "target"), "--name", "holiday")
        yield running


def rewritten(receipt: Path) -> Path:
    """Make one that says of an entry what is not true, with all that shows a change made anew."""
    lines = receipt.read_bytes().splitlines()
    writer = ReceiptWriter()
    made = [writer.header(msgspec.json.decode(lines[0], type=ReceiptHeader))]
    for line in lines[1:-1]:
        entry = msgspec.json.decode(line, type=ReceiptEntry)
        changed = msgspec.structs.replace(entry, xxh3_128="0" * 32) if entry.path == "a" else entry
        made.append(writer.entry(changed))
    forged = receipt.with_name("forged")
    forged.write_bytes(b"".join([*made, writer.footer()]))
    assert forged.read_bytes() != receipt.read_bytes()
    return forged


def test_a_receipt_that_was_rewritten_consistently_is_found(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    saved = tmp_path / "receipt"
    daemon.migmon("receipt", "holiday", "-o", str(saved))
    forged = rewritten(saved)
    assert daemon.migmon("receipt", "--check", str(forged)).returncode == 0  # without the journal nobody can tell
    daemon.stop()
    daemon.start()  # what was recorded is on record
    true = daemon.migmon("receipt", "holiday", "--check", str(saved))
    assert "the journal has had this hash since" in true.stdout
    told = daemon.migmon("receipt", "holiday", "--check", str(forged), check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert "it is not what the journal recorded" in told.stderr
    assert json.loads(saved.read_bytes().splitlines()[-1])["sha256"] in told.stderr
    data = json.loads(daemon.migmon("receipt", "holiday", "--check", str(forged), "--json", check=False).stdout)["data"]
    assert (data["intact"], data["same"]) == (True, False)
    data = json.loads(daemon.migmon("receipt", "holiday", "--check", str(saved), "--json").stdout)["data"]
    assert (data["intact"], data["same"]) == (True, True)


def test_a_receipt_of_another_migration_is_called_that(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    daemon.migmon("run", str(tmp_path / "source"), str(tmp_path / "other"), "--name", "work")
    daemon.migmon("receipt", "work", "-o", str(tmp_path / "receipt"))
    told = daemon.migmon("receipt", "holiday", "--check", str(tmp_path / "receipt"), check=False)
    assert (told.returncode, "another migration" in told.stderr) == (1, True)
    assert daemon.migmon("receipt", "none", "--check", str(tmp_path / "receipt"), check=False).returncode == 4


def test_an_earlier_receipt_is_known_as_one(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    """What failed was tried again: both receipts were true in their time."""
    target = tmp_path / "half"
    target.mkdir()
    (target / "a").write_bytes(b"in the way")
    daemon.migmon("run", str(tmp_path / "source"), str(target), "--name", "half", check=False)
    daemon.migmon("receipt", "half", "-o", str(tmp_path / "before"))
    (target / "a").unlink()
    daemon.migmon("resume", "half")
    daemon.migmon("watch", "half", check=False)
    daemon.migmon("receipt", "half", "-o", str(tmp_path / "after"))
    before = daemon.migmon("receipt", "half", "--check", str(tmp_path / "before"))
    after = daemon.migmon("receipt", "half", "--check", str(tmp_path / "after"))
    assert "it was set going again after that" in before.stdout
    assert "set going again" not in after.stdout


def test_a_journal_that_was_changed_since_says_so_itself(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    daemon.migmon("receipt", "holiday")
    daemon.stop()
    connection = open_writer(tmp_path / "daemon" / "state" / "journal.db")
    run(connection, "UPDATE task SET digest = zeroblob(16) WHERE name = ?", (b"a",))
    connection.close()
    daemon.start()
    told = daemon.migmon("receipt", "holiday", check=False)
    assert (told.returncode, "does not say what it said before" in told.stderr) == (1, True)


def test_what_has_not_ended_has_nothing_on_record(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    (tmp_path / "source" / "large").write_bytes(bytes(1 << 20))  # twelve days
    daemon.migmon("run", str(tmp_path / "source"), str(tmp_path / "slow"), "--name", "slow", "--detach", "--io", "1B/s")
    daemon.migmon("receipt", "slow", "-o", str(tmp_path / "receipt"))
    told = daemon.migmon("receipt", "slow", "--check", str(tmp_path / "receipt"), check=False)
    assert (told.returncode, "not final" in told.stderr) == (1, True)
    daemon.migmon("cancel", "slow", "-y")
