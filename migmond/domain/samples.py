"""What collectors tell, as clients see it."""

from __future__ import annotations

from migmond.domain.api import Result


class SampleView(Result, frozen=True):
    metric: str
    unit: str
    labels: dict[str, str]
    value: float | None
    no_data: str
    at: str


class Samples(Result, frozen=True):
    samples: tuple[SampleView, ...]
