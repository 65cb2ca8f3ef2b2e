"""Each of the forty hazards is named by a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hazards import HAZARDS

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def marks() -> list[tuple[int, str]]:
    """Number and test of every `@pytest.mark.hazard(...)` below tests/."""
    return list(_marks())


def _marks() -> Iterator[tuple[int, str]]:
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.hazard":
                    for argument in mark.args:
                        yield int(ast.literal_eval(argument)), f"{path.relative_to(TESTS)}::{node.name}"


def test_there_are_forty() -> None:
    assert list(HAZARDS) == list(range(1, 41))


@pytest.mark.parametrize("number", list(HAZARDS))
def test_every_hazard_has_a_test(number: int, marks: list[tuple[int, str]]) -> None:
    tests = [test for marked, test in marks if marked == number]
    assert tests, f"no test is marked hazard({number}): {HAZARDS[number]}"


def test_no_test_names_a_hazard_that_is_none(marks: list[tuple[int, str]]) -> None:
    assert [(number, test) for number, test in marks if number not in HAZARDS] == []
