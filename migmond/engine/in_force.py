"""The rules of which entries are held, skipped, done sooner or sent elsewhere: each with how far it was evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.domain.execution import Execution
from migmond.domain.hold import Hold
from migmond.domain.selector import Selector
from migmond.domain.steering import Move, Pause, Prioritise, Route, Skip, Standing
from migmond.planning.line import Effect, Rule
from migmond.planning.selection import Matcher, takes_long
from migmond.planning.standing import rules_of


class InForce:
    """A rule in force, and up to which number it was evaluated for entries and for further names of files."""

    def __init__(self, rule: Rule, selector: Selector, now: float) -> None:
        self.rule = rule
        self.selector = selector
        self.now = now
        self.matcher: Matcher | None = None
        self.upto = [0, 0]
        if not takes_long(selector.include, selector.exclude):
            self.matcher = Matcher(selector, now)


def rules_in_force(execution: Execution) -> dict[str, tuple[Effect, Selector, float]]:
    """Return the rules that are in force, by id: what they do, with what, and since when."""
    found: dict[str, tuple[Effect, Selector, float]] = {}
    for standing in rules_of(execution.standing):
        rule = _rule(standing)
        if rule is not None:
            found[standing.id] = rule
    for hold in part_holds(execution.holds):
        found[f"hold {hold.id}"] = (Pause(hold.selector), hold.selector, hold.since)
    return found


def _rule(standing: Standing) -> tuple[Effect, Selector, float] | None:
    action = standing.action
    if isinstance(action, Prioritise | Move | Skip | Route):
        return action, action.selector, standing.since
    return None


def part_holds(holds: Sequence[Hold]) -> list[Hold]:
    """Return the holds that concern some entries only."""
    return [h for h in holds if not h.selector.selects_all]
