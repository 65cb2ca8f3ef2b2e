"""Every kind of change is carried out, in both journals, by a function that takes just that kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

import pytest

from migmond.domain.changes import Change
from migmond.plugin_api.memory_changes import CARRYING_OUT
from migmond_sqlite.writing import WRITING


@pytest.mark.parametrize("table", [CARRYING_OUT, WRITING], ids=["memory", "sqlite"])
def test_each_kind_of_change_has_its_function(table: Mapping[type, Callable[..., Any]]) -> None:
    assert set(table) == set(get_args(Change))
    takes = {kind: get_type_hints(function)["change"] for kind, function in table.items()}
    assert takes == {kind: kind for kind in table}
    assert len(set(table.values())) == len(table), "one function for two kinds"
