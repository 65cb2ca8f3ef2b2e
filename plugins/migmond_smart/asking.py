"""Running smartctl. It may hang for ever in the kernel, behind a disk that is dying: call `ask` in a thread."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from migmond.plugin_api import NoData
from migmond_smart.report import Report, read_report
from migmond_smart.running import PATH, run

MISSING = NoData("smartmontools is not installed: health and temperatures of disks are not known without its smartctl")
_VERSION = re.compile(r"^smartctl (\d+)\.(\d+)")
_JSON_SINCE = 7
_VERSION_WITHIN_S = 5.0


class Asker:
    """Asks disks through smartctl, or through pySMART where smartctl is older than its JSON.

    Args:
        program: smartctl, "" to look for it each time: it may be installed any day.
        answer_s: how long a disk may take, seconds; then the process is killed.
        types: what `-d` is for some devices.
    """

    def __init__(self, program: str, answer_s: float, types: Mapping[str, str]) -> None:
        self._program = program
        self._types = types
        self.answer_s = answer_s
        self._major: dict[str, int] = {}

    def ask(self, device: str, options: Sequence[str]) -> Report | NoData:
        """Ask one disk; it is not woken. Blocks.

        Args:
            device: its device file.
            options: what to ask for, as smartctl takes it.
        """
        program = self._program or shutil.which("smartctl", path=PATH)
        if program is None:
            return MISSING
        try:
            if self._version(program) < _JSON_SINCE:
                from migmond_smart.older import ask_older

                return ask_older(program, device, self._types.get(device), self.answer_s)
            kind = ["-d", self._types[device]] if device in self._types else []
            done = run([program, "--json=c", "-n", "standby", *options, *kind, device], self.answer_s)
        except subprocess.TimeoutExpired:
            return NoData(f"does not answer within {self.answer_s:g} s")
        except OSError as e:
            return NoData(f"{program}: {e.strerror}")
        return read_report(done.stdout, done.returncode)

    def _version(self, program: str) -> int:
        if program not in self._major:
            found = _VERSION.match(run([program, "--version"], _VERSION_WITHIN_S).stdout.decode("ascii", "replace"))
            self._major[program] = int(found[1]) if found else _JSON_SINCE
        return self._major[program]
