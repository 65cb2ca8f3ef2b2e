"""Dividing among executions, against pouring drop by drop."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.planning.shares import Budget, Claim, Usage, budgets_of, divide, fill, shares, shares_of

CLAIMS = st.lists(
    st.builds(Claim, st.sampled_from((0.5, 1.0, 2.0, 3.0, 10.0)), st.just(math.inf) | st.floats(0, 1000)), max_size=7
)


def poured(total: float, claims: list[Claim]) -> list[float]:
    """By hand: drop by drop, by weight, to whoever is not full."""
    given, drop = [0.0] * len(claims), total / 2_000
    for _ in range(2_000):
        thirsty = [i for i, c in enumerate(claims) if given[i] < c.wants]
        weights = sum(claims[i].weight for i in thirsty)
        for i in thirsty:
            given[i] = min(claims[i].wants, given[i] + drop * claims[i].weight / weights)
    return given


@settings(max_examples=50, deadline=None)
@given(st.floats(1, 1000), CLAIMS)
def test_everybody_gets_what_pouring_gives(total: float, claims: list[Claim]) -> None:
    found = divide(total, claims)
    assert found == pytest.approx(poured(total, claims), abs=total * 0.02 * (len(claims) + 1))


@given(st.floats(1, 1e9), CLAIMS)
def test_nothing_is_wasted_and_nobody_gets_more_at_anothers_expense(total: float, claims: list[Claim]) -> None:
    found = divide(total, claims)
    wanted = sum(c.wants for c in claims)
    assert sum(found) == pytest.approx(min(total, wanted))
    for claim, got in zip(claims, found, strict=True):
        assert got <= claim.wants * (1 + 1e-9)
        if got < claim.wants * (1 - 1e-6) - 1e-6:  # then nobody has more for its weight
            most = max(other / c.weight for c, other in zip(claims, found, strict=True))
            assert got / claim.weight >= most * (1 - 1e-6) - 1e-6


def poured_into(budgets: list[Budget[int]], claims: dict[int, Claim], drops: int = 4_000) -> dict[int, float]:
    """By hand: drop by drop, by weight, to whoever is not full and has no budget that is used up."""
    given = {k: 0.0 for b in budgets for k in b.members}
    drop = max((b.total for b in budgets), default=0.0) / drops
    while True:
        used = [sum(given[k] for k in b.members) for b in budgets]
        dry = {k for b, u in zip(budgets, used, strict=True) if u >= b.total for k in b.members}
        thirsty = [k for k in given if k not in dry and given[k] < claims[k].wants]
        if not thirsty:
            return given
        for k in thirsty:
            given[k] = min(claims[k].wants, given[k] + drop * claims[k].weight)


@settings(max_examples=60, deadline=None)
@given(CLAIMS.filter(bool), st.data())
def test_several_budgets_are_filled_as_by_hand(claims: list[Claim], data: st.DataObject) -> None:
    members = st.sets(st.integers(0, len(claims) - 1), min_size=1)
    budgets = data.draw(st.lists(st.builds(Budget, st.floats(10, 1000), members), min_size=1, max_size=4))
    by_key = dict(enumerate(claims))
    found = fill(by_key, budgets)
    by_hand = poured_into(budgets, by_key)
    largest = max(b.total for b in budgets)
    assert found.keys() == by_hand.keys()
    for k, got in found.items():
        assert got == pytest.approx(by_hand[k], abs=largest * 0.02 * (len(claims) + 1) * 10)
    for budget in budgets:
        assert sum(found[k] for k in budget.members) <= budget.total * (1 + 1e-6)
    for k, got in found.items():  # nobody could have more but at the cost of one that has no more for its weight
        if got < by_key[k].wants * (1 - 1e-6) - 1e-6:
            tight = [b for b in budgets if k in b.members and sum(found[m] for m in b.members) >= b.total * (1 - 1e-6)]
            level = got / by_key[k].weight
            assert any(all(found[m] / by_key[m].weight <= level * (1 + 1e-6) for m in b.members) for b in tight)


def test_those_on_different_disks_leave_one_another_alone() -> None:
    hungry = {n: Usage(1.0, 100.0, 100.0) for n in ("a", "b", "c")}
    disks = {"a": {"sda"}, "b": {"sda", "sdb"}, "c": {"sdc"}}
    assert shares_of(budgets_of(None, 100.0, disks), hungry) == {"a": 50.0, "b": 50.0, "c": 100.0}
    assert shares_of(budgets_of(120.0, 100.0, disks), hungry) == pytest.approx({"a": 40.0, "b": 40.0, "c": 40.0})
    assert shares_of(budgets_of(240.0, 100.0, disks), hungry) == pytest.approx({"a": 50.0, "b": 50.0, "c": 100.0})
    assert shares_of(budgets_of(None, None, disks), hungry) == {}
    assert shares_of(budgets_of(100.0, None, {}), {}) == {}
    heavy = hungry | {"a": Usage(3.0, 100.0, 100.0)}
    assert shares_of(budgets_of(None, 100.0, disks), heavy) == pytest.approx({"a": 75.0, "b": 25.0, "c": 100.0})


def test_what_a_busy_disk_keeps_from_one_is_not_kept_for_it_on_another() -> None:
    disks = {"a": {"sda"}, "b": {"sda", "sdb"}, "c": {"sdb"}}
    usages = {n: Usage(1.0, 100.0, 100.0) for n in disks} | {"a": Usage(9.0, 100.0, 100.0)}
    assert shares_of(budgets_of(None, 100.0, disks), usages) == pytest.approx({"a": 90.0, "b": 10.0, "c": 90.0})


def test_examples() -> None:
    assert divide(90.0, [Claim(1.0), Claim(2.0)]) == [30.0, 60.0]
    assert divide(90.0, [Claim(1.0, 10.0), Claim(1.0), Claim(1.0)]) == [10.0, 40.0, 40.0]
    assert divide(90.0, []) == []


def test_who_does_not_use_its_share_leaves_it_to_others_and_has_it_again_when_it_wants_it() -> None:
    """A copies slowly for reasons of its own; then it does not."""
    given: dict[str, float | None] = {"a": None, "b": None}
    able = {"a": 10.0, "b": 1000.0}
    for rounds, expected in ((10, (12.5, 87.5)), (20, (50.0, 50.0))):
        for _ in range(rounds):
            used = {n: min(able[n], g if g is not None else math.inf) for n, g in given.items()}
            given = {**shares(100.0, {n: Usage(1.0, used[n], given[n]) for n in given})}
        assert [given["a"], given["b"]] == pytest.approx(expected)
        able["a"] = 1000.0


def test_own_limits_and_pauses_count() -> None:
    assert shares(100.0, {}) == {}
    usages = {
        "limited": Usage(1.0, 5.0, 5.0, own=5.0),
        "paused": Usage(1.0, 0.0, 30.0, idle=True),
        "hungry": Usage(2.0, 60.0, 60.0),
    }
    assert shares(100.0, usages) == pytest.approx({"limited": 5.0, "paused": 0.5, "hungry": 94.5})


def test_who_waits_wants_more_however_little_is_counted() -> None:
    """What is read again to be verified is not counted as moved."""
    usages = {"reads back": Usage(1.0, 25.0, 50.0, waited=0.5), "hungry": Usage(1.0, 50.0, 50.0)}
    assert shares(100.0, usages) == {"reads back": 50.0, "hungry": 50.0}
