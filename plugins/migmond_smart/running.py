"""Running programs of smartmontools, whatever the daemon's own environment is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin:/usr/local/bin"
"""Where smartctl is looked for."""
_ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C", "LANG": "C"}


def run(arguments: Sequence[str], within_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run a program with nothing but its arguments: no shell, no input, a fixed environment.

    Args:
        within_s: seconds, then it is killed.

    Raises:
        subprocess.TimeoutExpired: it was killed.
        OSError: it could not be started.
    """
    return subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        cwd=os.sep,
        timeout=within_s,
        check=False,
    )
