"""Does a selector pick this task?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from migmond.domain import api
from migmond.domain.entry import EntryType
from migmond.domain.errors import InvalidInput
from migmond.domain.limits import MAX_INTEGER
from migmond.domain.names import from_text
from migmond.domain.selector import Selector
from migmond.domain.states import TaskState
from migmond.planning.patterns import Patterns

CONTENT_CLASSES: Mapping[str, frozenset[bytes]] = {
    "video": frozenset(b"mp4 mkv avi mov webm m4v mpg mpeg wmv flv ts m2ts vob 3gp ogv".split()),
    "image": frozenset(b"jpg jpeg png gif tif tiff webp heic heif bmp svg raw cr2 cr3 nef arw dng orf rw2".split()),
    "audio": frozenset(b"mp3 flac ogg opus m4a aac wav wma aiff alac".split()),
    "document": frozenset(b"pdf doc docx odt xls xlsx ods ppt pptx odp txt md rtf epub tex csv".split()),
    "archive": frozenset(b"zip tar gz tgz bz2 xz zst 7z rar iso".split()),
}
"""Content classes by file name suffix, lower case. Cheap and predictable; content is never read to select."""


MAX_CHOSEN = 1000
"""Types, states and errors that a selector may name."""
_QUICK_PATTERNS = 10
_QUICK_LENGTH = 200
_MAX_AGE_S = MAX_INTEGER / 1e9
_BOUNDS: Mapping[str, float] = {
    "larger_than": MAX_INTEGER,
    "smaller_than": MAX_INTEGER,
    "newer_than": _MAX_AGE_S,
    "older_than": _MAX_AGE_S,
}


class Candidate(msgspec.Struct, frozen=True):
    """What a selector may ask about. `path` is below the source root; `error` is the latest fault's kind."""

    path: bytes
    type: EntryType
    size: int
    mtime_ns: int
    state: TaskState = TaskState.PENDING
    error: str = ""


class Matcher:
    """A compiled selector.

    Args:
        selector: what to pick.
        now: wall clock seconds, against which ages count.

    Raises:
        InvalidInput: a pattern, type or state that does not exist.
    """

    def __init__(self, selector: Selector, now: float) -> None:
        self._selector = selector
        self._include = Patterns(selector.include) if selector.include else None
        self._exclude = Patterns(selector.exclude) if selector.exclude else None
        self._under = selector.under.strip(b"/")
        self._newer_ns = None if selector.newer_than is None else int((now - selector.newer_than) * 1e9)
        self._older_ns = None if selector.older_than is None else int((now - selector.older_than) * 1e9)
        self._errors = frozenset(selector.errors)
        self._types = frozenset(t.name.lower() for t in EntryType) & frozenset(selector.types)
        self._classes = [CONTENT_CLASSES[t] for t in selector.types if t in CONTENT_CLASSES]
        unknown = [t for t in selector.types if t not in CONTENT_CLASSES and t not in self._types]
        if unknown:
            known = ", ".join([*(t.name.lower() for t in EntryType), *CONTENT_CLASSES])
            raise InvalidInput(f"unknown type {unknown[0]!r}", hint=f"types are {known}")
        try:
            self._states = frozenset(TaskState[s.upper()] for s in selector.states)
        except KeyError as e:
            states = ", ".join(s.name.lower() for s in TaskState)
            raise InvalidInput(f"unknown state {e.args[0].lower()!r}", hint=f"states are {states}") from e

    def picks(self, task: Candidate) -> bool:
        """Return whether every condition of the selector holds for `task`."""
        s = self._selector
        if self._under and task.path != self._under and not task.path.startswith(self._under + b"/"):
            return False
        if s.larger_than is not None and task.size <= s.larger_than:
            return False
        if s.smaller_than is not None and task.size >= s.smaller_than:
            return False
        if self._newer_ns is not None and task.mtime_ns <= self._newer_ns:
            return False
        if self._older_ns is not None and task.mtime_ns >= self._older_ns:
            return False
        if self._states and task.state not in self._states:
            return False
        if self._errors and task.error not in self._errors:
            return False
        return self._type_fits(task) and self._pattern_fits(task.path)

    def _type_fits(self, task: Candidate) -> bool:
        if not self._selector.types:
            return True
        if task.type.name.lower() in self._types:
            return True
        suffix = os.path.splitext(task.path)[1][1:].lower()
        return task.type is EntryType.FILE and any(suffix in c for c in self._classes)

    def _pattern_fits(self, path: bytes) -> bool:
        if self._include is None and self._exclude is None:
            return True
        if self._exclude is not None and self._exclude.match(path):
            return False
        return self._include is None or self._include.match(path)


def selector_of(spec: api.SelectorSpec) -> Selector:
    """Parse a selector that came from outside.

    Raises:
        InvalidInput: anything in it does not parse, or a size or age is negative.
    """
    selector = _selector(spec)
    Matcher(selector, 0.0)
    return selector


def matcher_of(spec: api.SelectorSpec, now: float) -> Matcher:
    """Compile a selector that came from outside. `now`: see `Matcher`.

    Raises:
        InvalidInput: as `selector_of`.
    """
    return Matcher(_selector(spec), now)


def takes_long(include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether compiling these patterns may take longer than the loop may be kept waiting: that belongs in a thread.

    What looks like `*.jpg` takes 60 µs, ten of them 0.4 ms; a regular expression may take milliseconds at any length.
    """
    patterns = (*include, *exclude)
    return len(patterns) > _QUICK_PATTERNS or any("{" in p or len(p) > _QUICK_LENGTH for p in patterns)


def _selector(spec: api.SelectorSpec) -> Selector:
    for name, most in _BOUNDS.items():
        value = getattr(spec, name)
        if value is not None and not 0 <= value <= most:  # this way round NaN is refused too
            raise InvalidInput(f"{name} is {value}: negative or out of range", hint="sizes and ages count from 0")
    for name in ("types", "states", "errors"):
        if len(getattr(spec, name)) > MAX_CHOSEN:
            raise InvalidInput(f"more than {MAX_CHOSEN} {name}", hint="leave it out for all")
    return Selector(
        include=spec.include,
        exclude=spec.exclude,
        under=from_text(spec.under),
        larger_than=spec.larger_than,
        smaller_than=spec.smaller_than,
        newer_than=spec.newer_than,
        older_than=spec.older_than,
        types=spec.types,
        states=spec.states,
        errors=spec.errors,
    )
