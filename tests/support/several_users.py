"""A system daemon, as root, and the people that it serves."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from pathlib import Path

from daemon import ROOT, EmbeddedDaemon

ANA, BEN, GUEST, NOBODY = 40001, 40002, 40003, 40004
OPERATORS, VIEWERS, ADMINS = "games", "news", "audio"
"""Groups that every Debian has and that give nobody anything."""
ROLES = f'[roles]\nadmin_group = "{ADMINS}"\noperator_group = "{OPERATORS}"\nviewer_group = "{VIEWERS}"\n'


class SystemDaemon(EmbeddedDaemon):
    """Serves several users: not --user.

    Args:
        modules: further directories that it imports from.
    """

    def __init__(self, home: Path, configuration: str = "", modules: tuple[Path, ...] = ()) -> None:
        super().__init__(home, configuration)
        self._path = ":".join(map(str, (ROOT, ROOT / "plugins", *modules)))

    def start(self) -> None:
        ready, theirs = os.pipe()
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "migmond.daemon", "--socket", self.socket, "--state-directory",
                 str(self.home / "state"), "--config-directory", str(self.home / "config"),
                 "--foreground-ready-fd", str(theirs)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs,),
                env={**os.environ, "PYTHONPATH": self._path},
            )  # fmt: skip
        os.close(theirs)
        with open(ready, "rb") as answer:
            if not answer.read(1):
                self.process.wait()
                raise RuntimeError("the daemon did not start:\n" + self.log())


def passable(directory: Path) -> Path:
    """Let everybody pass through `directory` and its parents; returns it."""
    for parent in [directory, *directory.parents]:
        if str(parent) != "/":
            parent.chmod(parent.stat().st_mode | 0o011)
    return directory


def gid(name: str) -> int:
    return grp.getgrnam(name).gr_gid
