"""What is compiled: the C files beside this one. It may be missing: a machine without a C compiler installs
migmond all the same, and Python does what it does."""

from __future__ import annotations

import ctypes
import hashlib
import os

SOURCES = ("small_files.c", "listing.c", "deletes.c", "budget.c", "zeros.c")
_LIBRARY = "_machine_code.so"
"""Beside this file, where the build puts it."""


def built() -> bool:
    """Whether there is machine code that can be used."""
    return load() is not None


def load() -> ctypes.CDLL | None:
    """Return the machine code, None where it was not built, cannot be loaded, or was built from other sources than
    those beside it: what is called must be what is there."""
    try:
        library = ctypes.CDLL(_path())
        library.migmond_sources.restype = ctypes.c_char_p
        return library if library.migmond_sources() == sources_digest(os.path.dirname(__file__)).encode() else None
    except (OSError, AttributeError):
        return None


def sources_digest(directory: str) -> str:
    """Return what tells one version of the sources from others."""
    digest = hashlib.sha256()
    for name in SOURCES:
        with open(os.path.join(directory, name), "rb") as source:
            digest.update(source.read())
    return digest.hexdigest()


def address(memory: bytearray) -> int:
    """Return where `memory` is; valid as long as it is neither freed nor made longer."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _path() -> str:
    return os.path.join(os.path.dirname(__file__), _LIBRARY)
