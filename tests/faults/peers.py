"""Positive controls: what a power cut takes from people who use other tools. A laboratory must find that.

Each tool moves a tree of files to the disk, says that it has succeeded, and only then the power is cut. migmond does
so beside them.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import trees
from daemon import EmbeddedDaemon
from judge import Case, Harm, at_the_fault, counted, known
from loopfs import LoopFs
from trial import Trial, clear, lay_out, made_durable

OURS = "migmond"
TOOLS = {
    "mv": ("mv", "-T", "--", "{source}", "{target}"),
    "rsync": ("rsync", "-a", "--remove-source-files", "{source}/", "{target}/"),
    "rclone": ("rclone", "move", "--config", "/dev/null", "{source}", "{target}"),
    OURS: (str(Path(sys.executable).with_name("migmon")), "run", "--move", "{source}", "{target}"),
}
"""As people type them, by name. The last one is to compare with."""

FILES = 200


def missing() -> list[str]:
    """Which of the tools this machine does not have."""
    return [name for name, command in TOOLS.items() if shutil.which(command[0]) is None]


@dataclass(frozen=True)
class Loss:
    """What one trial cost."""

    files: int
    lost: int


class Peers:
    """Runs other tools onto a disk that loses power.

    Args:
        disk: the file system that loses power.
        work: a directory on another file system, where the sources lie.
    """

    def __init__(self, disk: LoopFs, work: Path) -> None:
        self._disk = disk
        self._work = work
        self._pristine = work / "pristine"
        trees.small_files(self._pristine, FILES, 4000, random.Random(1), per_directory=50)
        self._known = known(self._pristine)

    def trial(self, tool: str) -> tuple[Trial, Loss]:
        """Let `tool` move the tree, cut when it has exited 0, and count what is neither here nor there.

        Raises:
            subprocess.CalledProcessError: it did not even succeed without a cut.
        """
        began = time.monotonic()
        source, target = self._work / "source", self._disk.root / "target"
        try:
            lay_out(self._pristine, source)
            command = [part.format(source=source, target=target) for part in TOOLS[tool]]
            if tool == OURS:
                with EmbeddedDaemon(self._work / "home") as daemon:
                    subprocess.run(command, check=True, capture_output=True, env=daemon.environment)
                    self._disk.shut_down()
            else:
                subprocess.run(command, check=True, capture_output=True)
                self._disk.shut_down()
            self._disk.mount_again()
            # Neither restores what others leave open (times of links), and their names for temporaries are their own.
            found = [f for f in at_the_fault(Case(self._pristine, self._known, source, target)) if f.harm is Harm.LOST]
        finally:
            clear(source, target)
            made_durable(self._disk.root)
        trial = Trial(f"{self._disk.kind}: power cut after {tool} had exited 0", True, found, time.monotonic() - began)
        return trial, Loss(FILES, counted(found)[Harm.LOST])
