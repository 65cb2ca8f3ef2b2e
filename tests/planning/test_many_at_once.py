"""Selectors over many tasks at once, against one at a time, and one at a time against a naive reading of each word."""

from __future__ import annotations

import fnmatch
import os

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.columns import Columns
from migmond.domain.entry import EntryType
from migmond.domain.fault import Fault, Phase
from migmond.domain.file_kinds import EXTENSIONS, FileKind
from migmond.domain.selector import Selector
from migmond.domain.states import TaskState
from migmond.planning.patterns import Patterns
from migmond.planning.selection import CONTENT_CLASSES, Candidate, Matcher

NOW = 1_000_000.0
PIECES = ["*", "**", "?", "[ab]", "[!a]", "[a-c]", "\\d", "[[:alpha:]]", "{a,b/}", "{{a+}}", "a", "b", "é", ".", "\n"]
PATTERNS = st.builds(
    lambda lead, pieces, tail: lead + "".join(pieces) + tail,
    st.sampled_from(["", "/"]),
    st.lists(st.sampled_from([*PIECES, "a.jpg", "dir/", "/"]), min_size=1, max_size=4),
    st.sampled_from(["", "", "/"]),
).filter(lambda p: "***" not in p and p.strip("/") != "" and "//" not in p)
NAMES = st.sampled_from(
    [
        b"a",
        b"b",
        b"ab",
        b"a.jpg",
        b".jpg",
        b"A.JPG",
        b"\xff",
        b"a\xc3",
        b"\xc3\xa9",
        b"7",
        b"a\nb",
        b"x.mkv",
        b"dir",
        b"a.b",
    ]
)
KINDS = st.sampled_from([None, None, FileKind.OTHER, FileKind.VIDEO, FileKind.IMAGE])
PATHS = st.sampled_from([b"", b"a", b"dir", b"a/dir", b"dir/b", b"\xff/a", b"di"])
FAULT = Fault(Phase.COPY, "EIO", 5, "Input/output error")
TASKS = st.lists(
    st.tuples(
        PATHS,
        NAMES,
        st.sampled_from([EntryType.FILE, EntryType.FILE, EntryType.SYMLINK, EntryType.FIFO]),
        st.sampled_from([0, 1, 4096, 1 << 40]),
        st.sampled_from([-5, 0, 100, 5000]),
        st.sampled_from([None, FAULT, Fault(Phase.COPY, "ENOSPC", 28, "")]),
        KINDS,
    ),
    max_size=12,
)
SELECTORS = st.builds(
    Selector,
    include=st.lists(PATTERNS, max_size=2).map(tuple),
    exclude=st.lists(PATTERNS, max_size=2).map(tuple),
    under=st.sampled_from([b"", b"", b"dir", b"a", b"dir/a.jpg", b"a/dir"]),
    larger_than=st.sampled_from([None, None, 0, 4096]),
    smaller_than=st.sampled_from([None, None, 1, 4097]),
    newer_than=st.sampled_from([None, None, 50.0]),
    older_than=st.sampled_from([None, None, 50.0, 0.0]),
    types=st.lists(st.sampled_from(["file", "symlink", "video", "image"]), max_size=2).map(tuple),
    states=st.sampled_from([(), (), ("pending",), ("failed",)]),
    errors=st.sampled_from([(), (), ("EIO",), ("copy:ENOSPC:28",)]),
    devices=st.sampled_from([(), (), (0, 2)]),
)


@given(st.lists(PATTERNS, min_size=1, max_size=3), PATHS, st.lists(NAMES, max_size=10))
def test_names_matched_together_are_those_matched_alone(patterns: list[str], path: bytes, names: list[bytes]) -> None:
    compiled, prefix = Patterns(patterns), path + b"/" if path else b""
    alone = [position for position, name in enumerate(names) if compiled.match(prefix + name)]
    assert compiled.match_names(prefix, names) == alone


@given(SELECTORS, TASKS)
def test_many_at_once_are_those_picked_alone(
    selector: Selector, tasks: list[tuple[bytes, bytes, EntryType, int, int, Fault | None, FileKind | None]]
) -> None:
    paths = sorted({task[0] for task in tasks})
    numbers = {path: 1000 + position for position, path in enumerate(paths)}
    tasks = sorted(tasks, key=lambda task: task[0])
    columns = Columns(
        list(range(1, len(tasks) + 1)),
        [numbers[task[0]] for task in tasks],
        [task[1] for task in tasks],
        [task[2] for task in tasks],
        [task[3] for task in tasks],
        [int((NOW - task[4]) * 1e9) for task in tasks],
        [task[3] % 3 for task in tasks],
    )
    faults = {position + 1: task[5] for position, task in enumerate(tasks) if task[5] is not None}
    kinds = {position + 1: task[6] for position, task in enumerate(tasks) if task[6] is not None}
    matcher = Matcher(selector, NOW)
    candidates = [
        Candidate(
            os.path.join(path, name),
            kind,
            size,
            int((NOW - age) * 1e9),
            TaskState.PENDING,
            fault.kind if fault is not None else "",
            fault.fingerprint if fault is not None else "",
            content,
            size % 3,
        )
        for path, name, kind, size, age, fault, content in tasks
    ]
    by_number = {number: path for path, number in numbers.items()}
    alone = [position for position, candidate in enumerate(candidates) if matcher.picks(candidate)]
    assert matcher.picked(columns, by_number, faults, TaskState.PENDING, kinds) == alone
    doubtful = [position for position, candidate in enumerate(candidates) if matcher.may_pick(candidate)]
    assert matcher.picked(columns, by_number, faults, TaskState.PENDING, kinds, doubtful=True) == doubtful
    for position, candidate in enumerate(candidates):  # of what may be picked some kind of content is, and only of that
        turns_out = [matcher.picks(msgspec.structs.replace(candidate, content=kind)) for kind in FileKind]
        read = candidate.content is not None or not candidate.size
        assert (position in doubtful) is (any(turns_out) and not all(turns_out) and not read)


def naively(
    s: Selector, path: str, kind: EntryType, size: int, age_s: float, fault: Fault | None, content: FileKind | None
) -> bool:
    """What the words of `Selector` say, with Python's own glob for patterns without a slash."""
    parts = path.split("/")
    globs = {"include": s.include, "exclude": s.exclude}
    hits = {k: any(fnmatch.fnmatchcase(parts[-1], p) for p in globs[k]) for k in globs}
    suffix = os.path.splitext(path)[1][1:].lower().encode()
    classes = [c for c in s.types if c in CONTENT_CLASSES]
    typed = not s.types or kind.name.lower() in s.types
    typed = typed or (kind is EntryType.FILE and any(suffix in CONTENT_CLASSES[c] for c in classes))
    unlisted = not any(parts[-1].lower().endswith("." + e.decode()) for its in EXTENSIONS.values() for e in its)
    wanted = {"video": FileKind.VIDEO, "image": FileKind.IMAGE}
    typed = typed or (kind is EntryType.FILE and unlisted and content in [wanted[c] for c in classes])
    return (
        (not s.include or hits["include"])
        and not hits["exclude"]
        and (not s.under or parts[: len(s.under.split(b"/"))] == s.under.decode().split("/"))
        and (s.larger_than is None or size > s.larger_than)
        and (s.smaller_than is None or size < s.smaller_than)
        and (s.newer_than is None or age_s < s.newer_than)
        and (s.older_than is None or age_s > s.older_than)
        and typed
        and (not s.states or "pending" in s.states)
        and (
            not s.errors
            or (fault is not None and (fault.kind in s.errors or f"copy:{fault.kind}:{fault.errno}" in s.errors))
        )
    )


SIMPLE = st.text("ab*?", min_size=1, max_size=4).filter(lambda p: "**" not in p)


@given(
    SELECTORS,
    st.lists(SIMPLE, max_size=2),
    st.lists(SIMPLE, max_size=2),
    st.lists(st.sampled_from(["a", "b", "dir", "a.jpg", "x.mkv", ".mkv"]), min_size=1, max_size=3),
    st.sampled_from([EntryType.FILE, EntryType.SYMLINK]),
    st.sampled_from([0, 1, 4096, 4097]),
    st.sampled_from([-5, 49, 51, 5000]),
    st.sampled_from([None, FAULT, Fault(Phase.COPY, "ENOSPC", 28, "")]),
    KINDS,
)
def test_one_at_a_time_is_what_the_words_say(
    selector: Selector,
    include: list[str],
    exclude: list[str],
    parts: list[str],
    kind: EntryType,
    size: int,
    age_s: int,
    fault: Fault | None,
    content: FileKind | None,
) -> None:
    selector = msgspec.structs.replace(selector, include=tuple(include), exclude=tuple(exclude))
    candidate = Candidate(
        "/".join(parts).encode(),
        kind,
        size,
        int((NOW - age_s) * 1e9),
        TaskState.PENDING,
        fault.kind if fault is not None else "",
        fault.fingerprint if fault is not None else "",
        content,
    )
    expected = naively(selector, "/".join(parts), kind, size, age_s, fault, content)
    assert Matcher(selector, NOW).picks(candidate) is expected
