"""Part of the build: compiles the C files of migmond/fsys. Without a C compiler migmond is installed all the same, only
slower with small files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("migmond", "fsys")
SOURCES = FOLDER / "small_files.c", FOLDER / "listing.c"
LIBRARY = FOLDER / "_machine_code.so"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64",
         "-fstack-protector-strong", "-fPIC", "-shared")  # fmt: skip


class MachineCodeHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling for a wheel, an editable one as well."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the result packed."""
        root = Path(self.root)
        if compiled(root):
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"].append(str(LIBRARY))


def compiled(root: Path) -> bool:
    """Compile; whether there is a result now. What goes wrong is told, and no reason to fail."""
    library = root / LIBRARY
    library.unlink(missing_ok=True)
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        print("no C compiler: small files will be copied by Python (apt-get install gcc libc6-dev)", file=sys.stderr)
        return False
    # Under another name first: a mover that runs has the old one mapped, and two may build at once.
    fresh = library.with_name(f".{library.name}.{os.getpid()}")
    sources = [root / source for source in SOURCES]
    done = subprocess.run(
        [compiler, *FLAGS, "-o", fresh, *sources], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        os.replace(fresh, library)
        return True
    fresh.unlink(missing_ok=True)
    said = (done.stderr.strip() or "it said nothing").splitlines()[0]
    print(f"small files will be copied by Python: {compiler} could not compile {FOLDER}/*.c: {said}", file=sys.stderr)
    return False
