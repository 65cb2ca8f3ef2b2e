"""What `migmond` says when it cannot start as it was told to: what is wrong and what to do, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from as_user import NOBODY

ROOT = Path(__file__).parents[2]
_AS_NOBODY = f"import os; os.setgroups(()); os.setgid({NOBODY}); os.setuid({NOBODY})" if os.geteuid() == 0 else ""


def migmond(*arguments: str | Path, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end; `first` is done in its process before."""
    program = f"from migmond.daemon.main import main\n{first}\nmain()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


def test_where_it_may_not_write_it_says_what_may_be_done(tmp_path: Path) -> None:
    done = migmond("--user", "--state-directory", "/proc/x", "--socket", tmp_path / "socket")
    assert done.returncode == 1
    message, hint = done.stderr.splitlines()
    assert message.startswith("migmond: the journal cannot be kept in /proc/x: ")
    assert hint == "hint: give another --state-directory; without root's rights, start migmond --user"


@pytest.mark.skipif(Path("/run/migmond").exists(), reason="the daemon of this machine has made it")
def test_an_ordinary_user_is_told_of_the_daemon_of_his_own() -> None:
    done = migmond(first=_AS_NOBODY)
    assert done.returncode == 1
    message, hint = done.stderr.splitlines()
    assert message == "migmond: cannot make /run/migmond for the socket: Permission denied"
    assert hint == "hint: without root's rights, start migmond --user"


def test_a_backup_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    done = migmond("--user", "--state-directory", tmp_path / "state", "--restore", "/nonexistent")
    assert (done.returncode, "cannot read /nonexistent" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "state").exists()


def test_configuration_that_would_not_be_read_is_refused(tmp_path: Path) -> None:
    missing = migmond("--check-config", "--config-directory", tmp_path / "missing")
    assert (missing.returncode, "is no directory" in missing.stderr) == (1, True), missing.stderr
    (tmp_path / "migmond.toml").touch()
    assert migmond("--user", "--check-config", "--config-directory", tmp_path).returncode == 0
    (tmp_path / "40-movers.toml").write_text("[movers]\nworkers = 3\n")
    stray = migmond("--user", "--check-config", "--config-directory", tmp_path)
    assert stray.returncode == 1
    assert stray.stderr == (
        f"migmond: {tmp_path}/40-movers.toml is not read there\nhint: put it into {tmp_path}/migmond.conf.d/\n"
    )


def test_a_group_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "migmond.toml").write_text('[roles]\nadmin_group = "nosuchgroup"\nviewer_group = ""\n')
    done = migmond("--user", "--check-config", "--config-directory", tmp_path)
    assert done.returncode == 0
    where = f"{tmp_path}/migmond.toml:2"
    assert done.stderr == f"warning: there is no group 'nosuchgroup': roles.admin_group gives nobody a role ({where})\n"
