"""What tests of `migmon` share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from canned import Migmon, running


@pytest.fixture
def migmon(tmp_path: Path) -> Iterator[Migmon]:
    with running(tmp_path, {}) as found:
        yield found
