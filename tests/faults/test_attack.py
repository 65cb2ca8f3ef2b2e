"""Symlink-swap attackers against root's migrations: nothing outside the roots is touched or read (row 40)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from attack import Arena
from several_users import ROLES, SystemDaemon, passable
from victims import MIGRATIONS, cp, escapes_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the attackers' victim is root's migration")

OPERATIONS = 100_000
"""Exchanges that must have happened; `scripts/attack --operations N` goes on for longer."""
CONTROL_ROUNDS = 20


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return passable(tmp_path_factory.mktemp("attack"))


@pytest.fixture(scope="module")
def daemon(base: Path) -> Iterator[SystemDaemon]:
    with SystemDaemon(base / "daemon", ROLES) as running:
        yield running


def test_cp_escapes_here_so_the_attack_is_one(daemon: SystemDaemon, base: Path) -> None:
    changed = leaked = 0
    for _ in range(CONTROL_ROUNDS):
        found = escapes_of(cp, daemon.socket, Arena(base / "cp", base / "cp"))
        changed += len(found.changed)
        leaked += len(found.leaked)
        if changed and leaked:
            return
    pytest.fail(f"{changed} writes and {leaked} reads of cp -a escaped: the attack proves nothing")


@pytest.mark.parametrize("roots", [False, True], ids=["below the roots", "the roots too"])
def test_no_migration_escapes(daemon: SystemDaemon, base: Path, other_fs: Path, roots: bool) -> None:
    operations = rounds = 0
    while operations < OPERATIONS or not rounds:
        for number, (name, run) in enumerate(MIGRATIONS.items()):
            target_base = passable(other_fs) if (number + rounds) % 2 else base / "own"
            found = escapes_of(run, daemon.socket, Arena(base / "own", target_base, roots=roots))
            assert found.none, f"{name}: {found.changed[:5]} {found.leaked[:5]}"
            operations += found.operations
        rounds += 1
    assert "Traceback" not in daemon.log()
    assert "internal error" not in daemon.log()
