"""The receipt of an execution: a manifest in JSON lines that anybody can keep and check without a daemon.

The first line is a `ReceiptHeader`, then comes a `ReceiptEntry` for each entry of the sources in scan order, last a
`ReceiptFooter`. Lines end with a newline and name only what is not the default.
Each line but the last ends with a member `check`: the first eight hexadecimal digits of the SHA-256 of everything in
the file before that member. It tells which line is damaged; that none is tells the footer, whose `sha256` is that of
all lines before it (`head -n -1 FILE | sha256sum`).

A receipt is made from the journal whenever it is asked for. It is the same, byte for byte, every time, once its
execution has ended: who kept an earlier one, or only its hash, can see that nothing was changed since. The journal
keeps the hash as well, from the first time on: a receipt that somebody rewrote, its hash included, is not that one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable

import msgspec

from migmond.domain import api
from migmond.domain.decoding import from_json, json_decoder
from migmond.domain.errors import InvalidInput
from migmond.domain.names import from_text, to_text

FORMAT = 2
"""Raised when a line changes its meaning or its order. In format 1 the bytes of a file counted once for each name."""
_READABLE = frozenset({1, FORMAT})
HASH_NAME = "xxh3_128"
_TAIL = re.compile(rb',"check":"([0-9a-f]{8})"}\n\Z')
_CHECK_DIGITS = 8


class ReceiptHeader(api.Result, frozen=True):
    """What was asked for and what became of it.

    `receipt` is the version of the format. `final`: the execution has ended; it is false while it can still change.
    `hash` names the algorithm of the entries' hashes, null when the plan asked for none. `host` and `migmond` are the
    machine and the version that it was started on, "" when the journal does not tell. `why` explains the state.
    """

    receipt: int
    execution: str
    name: str
    state: str
    final: bool
    why: str
    operation: str
    verify: str
    hash: str | None
    uid: int
    host: str
    migmond: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    plan: api.PlanSpec


class ReceiptEntry(api.Result, frozen=True, omit_defaults=True):
    """One entry of the sources.

    `path` is below source number `source` of the plan, `.` the source itself; `path_base64` has its exact bytes when
    the text form needed an escape. `mtime_ns` counts from the epoch. `state` and `outcome` are those of
    `execution.files`. `lost`: metadata that could not be kept. `xxh3_128`: of the content, or of a symlink's text.
    `target_name`: its name at the destination when that is another one. `link_of`: number of the entry whose file it
    is a further name of. `fault`: why it failed. `birth_ns`: when the source was made, of what was copied from a file
    system that tells it; no copy can be given that time. A time that no signed 64-bit number of nanoseconds holds
    (before 1677, after 2262) is the same decimal number as text. `destination`: where it went, or was to go, in place
    of the plan's destination.
    """

    number: int
    path: str
    type: str
    size: int
    mtime_ns: int | str
    state: str
    outcome: str = "none"
    source: int = 0
    path_base64: str | None = None
    lost: tuple[str, ...] = ()
    xxh3_128: str | None = None
    target_name: str | None = None
    link_of: int = 0
    fault: str | None = None
    birth_ns: int | str | None = None
    destination: str | None = None


class ReceiptSum(api.Result, frozen=True):
    """What the entries come to: all of them, by state, how many by outcome; how many of the files that were brought
    over have no hash of their own or of another name, and how many entries lost some metadata. Bytes are of files, once
    for all names of one: further names have none."""

    entries: int
    bytes: int
    states: dict[str, api.TallyView]
    outcomes: dict[str, int]
    unhashed: int
    imperfect: int


class ReceiptFooter(api.Result, frozen=True):
    """The sum of the entries, and the hash of all lines before this one."""

    sum: ReceiptSum
    sha256: str


class ReceiptParams(api.Params, frozen=True):
    """Page through a receipt. `after`: the `next` of the page before, 0 at first."""

    id: str
    after: int = 0
    limit: int = 500


class ReceiptPage(api.Result, frozen=True):
    """`next`: pass it as `after` for the following page; null at the end. A page ends early when paths are long.

    `migmond.domain.receipt` makes the lines of the receipt out of the pages. Of an execution that has ended every
    page has the same header; another one means that it was set going again.
    """

    header: ReceiptHeader
    entries: tuple[ReceiptEntry, ...]
    next: int | None


class SealView(api.Result, frozen=True):
    """The hash of a receipt as the journal has it since `at`. `format`: of the receipt. `ended_at`: of the execution
    then; when it was set going again it has another receipt since."""

    sha256: str
    format: int
    at: str
    ended_at: str | None


class Seals(api.Result, frozen=True):
    """Hashes of the receipts that an execution has had, the newest last. `final`: the last one is that of its present
    receipt; without it the execution has not ended, and its receipt has no hash on record yet."""

    execution: str
    final: bool
    seals: tuple[SealView, ...]


def exact_path(path: bytes) -> str | None:
    """Return `path_base64` for a path: None when its text form is the path itself."""
    return None if to_text(path).encode() == path else base64.b64encode(path).decode()


def exact_time(time_ns: int) -> int | str:
    """Return nanoseconds since the epoch as a receipt has them: every reader can read numbers of up to 64 bits."""
    return time_ns if -(1 << 63) <= time_ns < 1 << 63 else str(time_ns)


class ReceiptWriter:
    """Turns header and entries, in order, into the lines of a receipt. Memory does not grow with them."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._sum = _Sum()

    def header(self, header: ReceiptHeader) -> bytes:
        """Return the first line."""
        return self._line(header)

    def entry(self, entry: ReceiptEntry) -> bytes:
        """Return the line of the next entry."""
        self._sum.add(entry)
        return self._line(entry)

    def sha256(self) -> bytes:
        """Return the hash of all lines so far, 32 bytes."""
        return self._hash.digest()

    def footer(self) -> bytes:
        """Return the last line."""
        return _encoded(ReceiptFooter(self._sum.total(), self._hash.hexdigest())) + b"\n"

    def _line(self, data: api.Result) -> bytes:
        body = _encoded(data)[:-1]
        self._hash.update(body)
        tail = b',"check":"%s"}\n' % self._hash.hexdigest()[:_CHECK_DIGITS].encode()
        self._hash.update(tail)
        return body + tail


class Checked(msgspec.Struct, frozen=True):
    """What a look at a receipt found.

    `damage` is "" when it is intact; else it says what is wrong, first at line `line`.
    `header` is None when the first line is damaged, `footer` when anything is.
    """

    header: ReceiptHeader | None
    footer: ReceiptFooter | None
    line: int = 0
    damage: str = ""


def check_receipt(lines: Iterable[bytes]) -> Checked:
    """Check a receipt line by line: nothing is changed, left out, added or cut off, and its sums are right.

    Args:
        lines: the lines of the file, each with its newline. They are not kept.
    """
    look = _Look()
    for line in lines:
        damage = look.take(line)
        if damage:
            return Checked(look.header, None, look.line, damage)
    if look.footer is None:
        return Checked(look.header, None, look.line + 1, "the end is missing" if look.line else "the file is empty")
    return Checked(look.header, look.footer)


class _Look:
    """A check on its way: what was read so far."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._sum = _Sum()
        self._last = 0
        self._decoder = json_decoder(ReceiptEntry)
        self.line = 0
        self.header: ReceiptHeader | None = None
        self.footer: ReceiptFooter | None = None

    def take(self, line: bytes) -> str:
        """Read the next line; return what is wrong with it."""
        self.line += 1
        if self.footer is not None:
            return "something stands after the end"
        if line.startswith(b'{"sum":') and self.header is not None:
            return self._end(line)
        tail = _TAIL.search(line)
        if tail is None:
            return "it is cut off" if not line.endswith(b"\n") else "it is no line of a receipt"
        self._hash.update(line[: tail.start()])
        if self._hash.hexdigest()[:_CHECK_DIGITS].encode() != tail[1]:
            return "it was changed, or lines before it were taken out or put in"
        self._hash.update(line[tail.start() :])
        try:
            return self._entry(line) if self.header is not None else self._begin(line)
        except msgspec.DecodeError as e:
            return f"it does not say what it should: {e}"

    def _begin(self, line: bytes) -> str:
        version = from_json(line, _Version).receipt
        if version not in _READABLE:
            return f"it is of format {version}, and this migmon reads format {FORMAT}"
        self._sum = _Sum(by_name=version == 1)
        self.header = from_json(line, ReceiptHeader)
        return ""

    def _entry(self, line: bytes) -> str:
        entry = self._decoder.decode(line)
        if entry.number <= self._last:
            return f"entry {entry.number} stands after entry {self._last}"
        if entry.path_base64 is not None and not _same_path(entry.path, entry.path_base64):
            return "path and path_base64 are two paths"
        self._last = entry.number
        self._sum.add(entry)
        return ""

    def _end(self, line: bytes) -> str:
        footer = ReceiptFooter(self._sum.total(), self._hash.hexdigest())
        if line != _encoded(footer) + b"\n":
            return "the sums or the hash in it are not those of the lines before it"
        self.footer = footer
        return ""


class _Version(msgspec.Struct):
    receipt: int


class _Sum:
    """Adds entries up. `by_name`: the bytes of a file count for each of its names."""

    def __init__(self, *, by_name: bool = False) -> None:
        self._by_name = by_name
        self._states: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._unhashed = self._imperfect = 0

    def add(self, entry: ReceiptEntry) -> None:
        self._states[entry.state] += 1
        self._outcomes[entry.outcome] += 1
        self._imperfect += bool(entry.lost)
        if entry.type == "file":
            self._bytes[entry.state] += 0 if entry.link_of and not self._by_name else entry.size
            there = entry.state in ("done", "durable")
            self._unhashed += there and entry.xxh3_128 is None and not entry.link_of

    def total(self) -> ReceiptSum:
        states = {s: api.TallyView(n, self._bytes[s]) for s, n in sorted(self._states.items())}
        return ReceiptSum(
            self._states.total(),
            self._bytes.total(),
            states,
            dict(sorted(self._outcomes.items())),
            self._unhashed,
            self._imperfect,
        )


def _same_path(text: str, exact: str) -> bool:
    try:
        return from_text(text) == base64.b64decode(exact, validate=True)
    except (InvalidInput, binascii.Error, ValueError):
        return False


def _encoded(data: api.Result) -> bytes:
    """JSON without anything that a terminal could obey: unprintable characters are JSON escapes."""
    raw = msgspec.json.encode(data)
    text = raw.decode()
    if text.isprintable():
        return raw
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).encode()
