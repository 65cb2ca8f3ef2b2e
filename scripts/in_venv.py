"""For this directory's Python programs: run by the project's own interpreter, with the tests' tools at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"


def enter(*folders: str) -> None:
    """Goes on as the same program under .venv, which is set up first; then adds the project and `folders` to the path.

    Ends the program where .venv cannot be set up (scripts/setup has said why), and where there is none and only help is
    asked for.
    """
    if Path(sys.prefix) != VENV:
        if not VENV.exists() and not {"-h", "--help"}.isdisjoint(sys.argv[1:]):
            # Whoever only asks what this is gets no 47 packages installed for it.
            print((sys.modules["__main__"].__doc__ or "").strip())
            print("\nAll options are shown once scripts/setup has made .venv; every other call makes it.")
            sys.exit(0)
        if (code := subprocess.run([ROOT / "scripts" / "setup"], check=False).returncode) != 0:
            sys.exit(code)
        python = VENV / "bin" / "python"
        os.execv(python, [str(python), *sys.argv])
    sys.path[:0] = [str(ROOT / folder) for folder in ("", "plugins", "tests/support", *folders)]
