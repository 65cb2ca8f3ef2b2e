"""What collectors tell, as clients see it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from migmond.domain.api import (
    Params,
    Result,
)


class NoData(msgspec.Struct, frozen=True):
    """Why there is no value. Missing data is never 0."""

    reason: str


class MetricView(Result, frozen=True):
    """What a metric means. `kind`: `gauge`, or `counter`, which only grows until what it counts starts anew.

    `unit`: a base unit (`bytes`, `seconds`, `celsius`, `ratio`), or "" for numbers of things.
    `labels`: names of what tells one series of the metric from another. `interval_s`: from one sample to the next.
    """

    name: str
    unit: str
    kind: str
    help: str
    labels: tuple[str, ...]
    plugin: str
    collector: str
    interval_s: float


class NoteKindView(Result, frozen=True):
    """A kind of note that a collector may leave, see `NoteView`."""

    kind: str
    help: str
    plugin: str
    collector: str


class MetricList(Result, frozen=True):
    metrics: tuple[MetricView, ...]
    note_kinds: tuple[NoteKindView, ...]


class SamplesParams(Params, frozen=True):
    """`prefix`: of the metric's name. `labels`: values that a series must have. `offset`: samples to leave out."""

    prefix: str = ""
    labels: Mapping[str, str] = {}
    offset: int = 0
    limit: int = 10_000


class SampleView(Result, frozen=True):
    """`value` is null when there is none; `no_data` then says why."""

    metric: str
    unit: str
    labels: dict[str, str]
    value: float | None
    no_data: str
    at: str


class Samples(Result, frozen=True):
    """`total`: how many there are on all pages."""

    samples: tuple[SampleView, ...]
    total: int = 0


class NotesParams(Params, frozen=True):
    """`device`, `kind`: only notes with exactly these; "" for all. `limit`: at most so many, the newest."""

    device: str = ""
    kind: str = ""
    limit: int = 100


class NoteView(Result, frozen=True):
    """Something that a collector was told in words, such as a message of the kernel about a disk.

    `device`: as the kernel calls it (`sda1`, `nvme0n1`, `ata3`), "" when the message names none.
    """

    at: str
    device: str
    kind: str
    message: str
    collector: str


class Notes(Result, frozen=True):
    """Oldest first."""

    notes: tuple[NoteView, ...]
