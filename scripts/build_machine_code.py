"""Part of the build: compiles the C files of migmond/fsys. Without a C compiler migmond is installed all the same, only
slower with small files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("migmond", "fsys")
NAMES = "small_files.c", "listing.c", "deletes.c", "budget.c", "zeros.c"
"""In the order in which migmond.fsys.machine_code digests them."""
LIBRARY = FOLDER / "_machine_code.so"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64",
         "-fstack-protector-strong", "-fPIC", "-shared")  # fmt: skip


class MachineCodeHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling for each wheel. For an editable one the result goes beside its source, for others into a
    directory of its own: the checkout may be read-only."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the result packed."""
        root, self._made = Path(self.root), ""
        library = root / LIBRARY
        if version != "editable":
            self._made = tempfile.mkdtemp(prefix="migmond-build-")
            library = Path(self._made, LIBRARY.name)
        if compiled(root, library):
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["force_include"][str(library)] = str(LIBRARY)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """It is packed."""
        if self._made:
            shutil.rmtree(self._made, ignore_errors=True)


def compiled(root: Path, library: Path) -> bool:
    """Compile to `library`; whether it is there now. What goes wrong is told, and no reason to fail."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        print("no C compiler: small files will be copied by Python (apt-get install gcc libc6-dev)", file=sys.stderr)
        return False
    # Under another name first: a mover that runs has the old one mapped, and two may build at once.
    fresh = library.with_name(f".{library.name}.{os.getpid()}")
    sources = [root / FOLDER / name for name in NAMES]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    try:
        library.unlink(missing_ok=True)
        command = [compiler, *FLAGS, f'-DMIGMOND_SOURCES="{digest}"', "-o", str(fresh), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode == 0:
            os.replace(fresh, library)
            return True
        fresh.unlink(missing_ok=True)
        why = (done.stderr.strip() or "it said nothing").splitlines()[0]
    except OSError as e:
        why = str(e)
    print(f"small files will be copied by Python: {compiler} could not compile {FOLDER}/*.c: {why}", file=sys.stderr)
    return False
