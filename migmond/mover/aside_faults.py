"""What is told of sources that are, or may be, under their private names (`mover.aside`): every text says that name,
nobody would look for it."""

from __future__ import annotations

import contextlib

import msgspec

from migmond.domain.fault import Fault, Phase
from migmond.mover.context import fault_of
from migmond.mover.target_check import Place, Unsafe


def kept_aside(private: bytes, why: str = "its name has been given to another file meanwhile") -> Fault:
    return Fault(Phase.DELETE, "kept_aside", 0, f"{why}; what had the name before is beside it as {private.decode()}")


def left_aside(private: bytes, error: OSError, it: str = "it is") -> Fault:
    """The fault of a source that could not be given its name back, or not for certain: `it` says so."""
    return msgspec.structs.replace(_beside(private, error, it), kind="left_aside")


def not_seen(private: bytes, error: OSError) -> Fault:
    """The fault of a source of which nobody can say whether it has its private name."""
    return _beside(private, error, "it may be")


def _beside(private: bytes, error: OSError, it: str) -> Fault:
    fault = fault_of(Phase.DELETE, error)
    text = f"{fault.message}; {it} beside its place as {private.decode()}"
    return msgspec.structs.replace(fault, message=text)


def unreachable(private: bytes) -> Fault:
    text = f"its directory is not there any more: wherever that is, the source may be in it, also as {private.decode()}"
    return Fault(Phase.DELETE, "source_unreachable", 0, text)


def of_unsafe(error: Unsafe, private: Place) -> Fault:
    """Return the fault that `error` means; it says so when an earlier mover had set aside what had the name then."""
    with contextlib.suppress(OSError):
        if private.stat() is not None:
            return kept_aside(private.name, str(error))
    return Fault(Phase.DELETE, error.kind, 0, str(error))


def of_error(error: OSError, private: Place) -> Fault:
    """Return the fault that `error` means; it says so when the source could not even be put back."""
    with contextlib.suppress(OSError):
        if private.stat() is not None:
            return _beside(private.name, error, "it is")
    return fault_of(Phase.DELETE, error)
