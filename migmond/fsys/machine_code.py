"""What is compiled: small_files.c and listing.c. It may be missing: a machine without a C compiler installs migmond all
the same, and Python does what it does."""

from __future__ import annotations

import ctypes
import os

_LIBRARY = "_machine_code.so"
"""Beside this file, where the build puts it."""


def built() -> bool:
    """Whether there is machine code."""
    return os.path.exists(_path())


def load() -> ctypes.CDLL | None:
    """Return the machine code, None where it was not built or cannot be loaded."""
    try:
        return ctypes.CDLL(_path())
    except OSError:
        return None


def address(memory: bytearray) -> int:
    """Return where `memory` is; valid as long as it is neither freed nor made longer."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _path() -> str:
    return os.path.join(os.path.dirname(__file__), _LIBRARY)
