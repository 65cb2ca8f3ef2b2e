"""Backups by themselves; and an administrator's way from damage to a restored journal."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import trees
from daemon import EmbeddedDaemon
from engine_harness import SystemClock
from journals import flip, spoil, write
from migmond.daemon.journal_care import is_due, journal_checks, keep_backups
from migmond_sqlite import open_journal
from oracle import differences


@pytest.mark.parametrize(
    ("newest", "due"), [(None, True), (1000.0, False), (999.0, False), (900.0, True), (899.0, True), (1001.0, True)]
)
def test_when_a_backup_is_due(newest: float | None, due: bool) -> None:
    assert is_due(newest, 1000.0, 100.0) is due


async def test_backups_are_made_when_something_changed_and_they_are_wanted(tmp_path: Path) -> None:
    await write(tmp_path)
    said: list[dict[str, Any]] = []
    settings = (3600.0, 0)

    def log(message: str, **fields: Any) -> None:
        said.append({"message": message, **fields})

    async def care_once() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_backups, journal, SystemClock(), lambda: settings, log)
            before = len(said)
            with trio.move_on_after(5 if settings[1] and journal.changed_since_backup() else 0.2):
                while len(said) == before:  # noqa: ASYNC110 (a log sets no event)
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    async with open_journal(tmp_path) as journal:
        await care_once()
        assert await journal.backups() == []
        settings = (3600.0, 2)
        await care_once()
        assert [b.path for b in await journal.backups()] == [said[-1]["path"]]
        await care_once()  # nothing has changed
        settings = (0.0, 2)
        await journal.next_key()
        await care_once()
        assert len(await journal.backups()) == 2
        await journal.next_key()
        flip(tmp_path / "journal.db", 3 * 4096 * 8 + 9)
        await care_once()
        assert "not what was written" in said[-1]["why"]
        assert len(await journal.backups()) == 2
        checks = await journal_checks(journal, 2)
        assert [(c.name, c.severity) for c in checks][-2:] == [("journal ballast", "ok"), ("journal backups", "ok")]
        assert (await journal.backups())[0].path in next(c.hint for c in checks if c.severity == "error")
    assert len(said) == 3


def start_by_hand(daemon: EmbeddedDaemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable, "-m", "migmond.daemon", "--user", "--socket", daemon.socket,
            "--state-directory", str(daemon.home / "state"), "--config-directory", str(daemon.home / "config"),
            *arguments,
        ],
        env=daemon.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_from_damage_to_a_restored_journal(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.random_tree(source, random.Random(1), 60)
    with EmbeddedDaemon(tmp_path / "daemon", '[journal]\nballast = "2MiB"\n') as daemon:
        daemon.migmon("run", str(source), str(target), "--name", "first")
        made = json.loads(daemon.migmon("backup", "--json").stdout)["data"]
        healthy = daemon.migmon("doctor").stdout
        assert "✓ journal: no damage found" in healthy
        assert "✓ journal ballast: there" in healthy
        assert made["path"] in healthy
        daemon.migmon("run", str(source), str(tmp_path / "second"), "--name", "second")
        spoil(daemon.home / "state" / "journal.db")
        sick = daemon.migmon("doctor", check=False)
        assert sick.returncode == 1
        assert "not what was written" in sick.stdout
        assert f"migmond --restore {made['path']}" in sick.stdout
        assert "is damaged" in daemon.migmon("status").stdout
        refused = daemon.migmon("run", str(source), str(tmp_path / "third"), check=False)
        assert refused.returncode == 1
        assert "is damaged" in refused.stderr
        assert "migmond --restore" in refused.stderr
        assert not (tmp_path / "third").exists() or os.listdir(tmp_path / "third") == []
        daemon.stop()
        again = start_by_hand(daemon)
        assert again.returncode == 1
        assert "is damaged" in again.stderr
        assert "migmond --restore" in again.stderr
        restored = start_by_hand(daemon, "--restore", made["path"])
        assert restored.returncode == 0, restored.stderr
        daemon.start()
        assert "✓ journal: no damage found" in daemon.migmon("doctor").stdout
        names = daemon.migmon("ls").stdout
        assert "first" in names
        assert "second" not in names  # it is younger than the backup; its files are all there
        assert differences(source, tmp_path / "second") == []
        daemon.migmon("run", str(source), str(tmp_path / "second"), "--name", "second")
        assert "unchanged" in daemon.migmon("files", "second").stdout
        assert differences(source, tmp_path / "second") == []
