"""What the daemon needs to go on, and where that stands: no migration may take it away."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from migmond.domain.file_system import Own, Place, Standing
from migmond.fsys.standing import standing_of


def own_places(state_directory: Path, socket_path: str, config_directories: Sequence[Path]) -> tuple[Own, ...]:
    """Return where journal, socket and configuration stand. What is not there, or cannot be looked at, is left out."""
    socket = Path(socket_path)
    return (
        *_own("the journal of the daemon that would do it", state_directory),
        *(_within(own, socket) for own in _own("its socket", socket.parent)),
        *(own for path in config_directories for own in _own("its configuration", path)),
    )


def _own(what: str, path: Path) -> Iterator[Own]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield Own(what, bytes(path), standing_of(fd))
        finally:
            os.close(fd)
    except OSError:
        return


def _within(directory: Own, path: Path) -> Own:
    """A file in that directory: other things may lie beside it."""
    stands = directory.standing
    place = stands.place and Place(stands.place.device, os.path.join(stands.place.path, os.fsencode(path.name)))
    return msgspec.structs.replace(directory, path=bytes(path), standing=Standing((0, 0), stands.above, place))
