"""Which parameter an error is about."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from migmond.domain.decoding import converted, field_of
from migmond.domain.errors import ConfigError, Conflict, InvalidInput, about, inside


@pytest.mark.parametrize(
    ("outer", "field", "found"),
    [
        ("", "", ""),
        ("plan", "", "plan"),
        ("", "name", "name"),
        ("plan", "name", "plan.name"),
        ("sources", "[1].path", "sources[1].path"),
        ("a.b[0]", "c.d", "a.b[0].c.d"),
    ],
)
def test_a_field_is_called_by_where_it_is(outer: str, field: str, found: str) -> None:
    assert inside(outer, field) == found


def test_whoever_knows_what_a_part_is_of_says_so() -> None:
    def refuse(error: Exception) -> None:
        with about("plan"), about("limits"):
            raise error

    for kind in (InvalidInput, ConfigError):
        with pytest.raises(kind) as caught:
            refuse(kind("0 is no limit", hint="leave it out", field="cpu_percent"))
        assert (caught.value.field, caught.value.hint) == ("plan.limits.cpu_percent", "leave it out")
    with pytest.raises(InvalidInput) as none_in_particular:
        refuse(InvalidInput("too many"))
    assert none_in_particular.value.field == "plan.limits"
    with pytest.raises(Conflict):
        refuse(Conflict("it has ended"))


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    size: int = 0


class _Whole(msgspec.Struct, forbid_unknown_fields=True):
    parts: tuple[_Part, ...] = ()
    limit: int = 0
    labels: dict[str, int] = {}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"limit": "x"}, "limit"),
        ({"odd": 1}, "odd"),
        ({"o`dd\n` x": 1}, "o`dd\n` x"),
        ({"parts": [{"path": "a", "c`": 1}]}, "parts[0].c`"),
        ({"parts": [{"path": "a"}, {"path": 5}]}, "parts[1].path"),
        ({"parts": [{"size": 5}]}, "parts[0].path"),
        ({"parts": [{"path": "a", "colour": "red"}]}, "parts[0].colour"),
        ({"parts": 5}, "parts"),
        ({"labels": {"a": "b"}}, "labels[...]"),
        ({"labels": {5: 5}}, "labels"),
        (5, ""),
    ],
)
def test_what_does_not_fit_its_type_is_named(given: Any, field: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        converted(given, _Whole)
    assert field_of(caught.value) == field
