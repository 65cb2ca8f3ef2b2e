"""Commands that do something about a group of errors: what they are, and where each of them works at all."""

from __future__ import annotations

import enum

import msgspec

from migmond.domain.fault import Fault, Phase
from migmond.domain.states import ExecutionState as E

_RUNS = frozenset({E.RUNNING, E.PAUSED})
_GOES_ON = frozenset({E.DRAINED, E.COMPLETED_WITH_ERRORS, E.FAILED})
_HAS_TO_COME = _RUNS | {E.CREATED, E.WAITING, E.DRAINED, E.DRAINING}
"""What waits there can be steered."""


class Command(enum.Enum):
    """One of them. The value is what to type; `{id}` is the migration, `{error}` the group, `{under}` a flag for its
    directory or "", `{example}` one of its entries."""

    RETRY = "migmon retry {id} --error {error}"
    SKIP = "migmon skip {id} --error {error}"
    RESUME = "migmon resume {id}"
    ROUTE = "migmon route {id} --error {error}{under} OTHER_DESTINATION"
    SALVAGE = "migmon salvage {id} {example}"
    THROTTLE = "migmon throttle {id} --io 50MiB/s"
    INTERVENTIONS = "migmon interventions {id}"


class Situation(msgspec.Struct, frozen=True):
    """What a group of errors is found in.

    Attributes:
        execution: what its migration is called in a command.
        state: of the migration.
        failed, waiting: how many entries of the group have failed, and how many are to be tried again.
        copying: it has not come past that, as long as it runs.
        held: something holds all of the migration, or some of it.
        undoes: it is a rollback.
        under: directory, as path text, that all of it lies in; "" for none.
        example: one of its entries, as path text; "" for none.
    """

    execution: str
    state: E
    failed: int
    waiting: int
    copying: bool = True
    held: bool = False
    undoes: bool = False
    under: str = ""
    example: str = ""


def works(command: Command, fault: Fault, there: Situation) -> bool:
    """Whether a command does something about a group in that situation: what is told to be typed is not refused, and
    does not pick nothing."""
    match command:
        case Command.RETRY:
            return _tries_again(fault, there)
        case Command.RESUME:
            return there.state in _GOES_ON or (there.held and there.state in _HAS_TO_COME)
        case Command.SKIP | Command.ROUTE:
            waits = bool(there.waiting) and there.state in _HAS_TO_COME
            return not there.undoes and (waits or (_tries_again(fault, there) and not _is_finished(fault)))
        case Command.SALVAGE:
            return bool(there.failed) and fault.phase is Phase.READ and bool(there.example) and not there.undoes
        case Command.THROTTLE:
            return there.state in _HAS_TO_COME
        case Command.INTERVENTIONS:
            return True


def _tries_again(fault: Fault, there: Situation) -> bool:
    """Whether what has failed can be pending again."""
    runs = there.state in _RUNS and there.copying and not _is_finished(fault)
    return bool(there.failed) and (runs or there.state in _GOES_ON)


def _is_finished(fault: Fault) -> bool:
    """Whether what failed is a source of which the copy stands, or a directory: these are seen to when all else is
    done, and neither left out nor sent elsewhere."""
    return fault.phase in (Phase.DELETE, Phase.SCAN, Phase.DIRECTORY)


def text(command: Command, fault: Fault, there: Situation) -> str:
    """Return what to type."""
    under = f" --under {quoted(there.under)}" if there.under else ""
    example = ("-- " if there.example.startswith("-") else "") + quoted(there.example)
    return command.value.format(id=there.execution, error=fault.fingerprint, under=under, example=example)


def quoted(text: str) -> str:
    """Quote for a shell; names of files are anybody's."""
    plain = bool(text) and not text.startswith("-") and all(c.isalnum() or c in "/.-_" for c in text)
    return text if plain else "'" + text.replace("'", "'\\''") + "'"
