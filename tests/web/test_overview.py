"""What the overview makes of samples."""

from __future__ import annotations

from typing import Any

import pytest

from migmond_web.overview import SMALLEST, machine

GIB = float(1 << 30)


def file_system(mount: str, available: float | None, size: float | None, *, read_only: float = 0.0) -> list[Any]:
    figures = {"available_bytes": available, "size_bytes": size, "read_only": read_only}
    return [
        {"metric": f"migmond_filesystem_{name}", "labels": {"mount": mount, "source": "x"}, "value": value, "at": "now"}
        for name, value in figures.items()
    ]


LARGE = file_system("/", 50 * GIB, 100 * GIB)
SEAL = file_system("/run/seal", 4096.0, 4096.0)
DISC = file_system("/media/disc", 0.0, 4 * GIB, read_only=1.0)
STICK = file_system("/mnt/stick", 10 * GIB, 16 * GIB)


@pytest.mark.parametrize(
    ("samples", "touched", "of"),
    [
        ([*LARGE, *SEAL, *DISC], (), "/"),
        ([*LARGE, *STICK], (), "/mnt/stick"),
        ([*LARGE, *SEAL], ("/run/seal/x",), "/run/seal"),
        ([*LARGE, *SEAL], ("/run/sealed/x", "/run"), "/"),
        ([*LARGE, *DISC], ("/media/disc/x",), "/"),
        ([*file_system("/", 1.0, SMALLEST), *LARGE[:0]], (), "/"),
        ([*SEAL, *DISC], (), None),
        (file_system("/net", None, None), (), None),
    ],
)
def test_the_least_free_space_is_where_it_matters(samples: list[Any], touched: tuple[str, ...], of: str | None) -> None:
    found = machine(samples, touched)["least_available"]
    assert (found and found["of"]) == of
