"""Does a text match, in time proportional to its length whatever the pattern: no backtracking.

Patterns come from clients and are tried inside the daemon's loop; with `re` a few stars suffice to keep it busy for
hours (https://swtch.com/~rsc/regexp/regexp1.html). So a pattern becomes a nondeterministic automaton, all of whose
states are followed at once, and each set of states that turns up is remembered together with where a character
leads from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from migmond.domain.errors import InvalidInput

MAX_STATES = 5000
"""States of all automata of a list of patterns. A character whose way is not remembered costs about 0.1 µs for each
state that is live."""
_MAX_REMEMBERED = 10_000
"""Transitions that one automaton remembers; then all are forgotten and the memory starts afresh."""


class Char(msgspec.Struct, frozen=True):
    """One character that passes `test`."""

    test: Callable[[str], bool]


class Sequence(msgspec.Struct, frozen=True):
    """One after the other; none is the empty text."""

    parts: tuple[Node, ...]


class Choice(msgspec.Struct, frozen=True):
    """Any of these."""

    parts: tuple[Node, ...]


class Repeat(msgspec.Struct, frozen=True):
    """`least` to `most` times, None without bound."""

    part: Node
    least: int = 0
    most: int | None = None


class Edge(msgspec.Struct, frozen=True):
    """Matches nothing, but only at the beginning (or the end) of the text."""

    end: bool


Node: TypeAlias = Char | Sequence | Choice | Repeat | Edge


class _Set:
    """A set of states that was reached. `after`: where each character seen so far leads."""

    __slots__ = ("accepts", "after", "states")

    def __init__(self, states: frozenset[int], *, accepts: bool) -> None:
        self.states = states
        self.accepts = accepts
        self.after: dict[str, _Set] = {}


class Automaton:
    """Matches whole texts against a pattern.

    Args:
        pattern: what to match.
        max_states: how many states it may need.

    Raises:
        InvalidInput: it needs more.
    """

    def __init__(self, pattern: Node, max_states: int = MAX_STATES) -> None:
        self._max_states = max_states
        # By state: a test and where it leads, or None and where one gets to without a character.
        self._tests: list[Callable[[str], bool] | None] = [None]
        self._edges: list[bool | None] = [None]
        self._next: list[tuple[int, ...]] = [()]
        self._start = self._add(pattern, 0)
        self._sets: dict[frozenset[int], _Set] = {}
        self._remembered = 0
        self._first = self._set(self._closure([self._start], at_start=True, at_end=False), empty=True)

    @property
    def states(self) -> int:
        """How many states it needs."""
        return len(self._next)

    def matches(self, text: str) -> bool:
        """Return whether the whole of `text` matches."""
        if not text:
            return self._first.accepts
        current = self._first
        for char in text:
            following = current.after.get(char)
            current = self._step(current, char) if following is None else following
        return current.accepts

    # --- building: from the end, state 0 is the goal -----------------------------------------------

    def _state(
        self, next_: tuple[int, ...], test: Callable[[str], bool] | None = None, *, edge: bool | None = None
    ) -> int:
        if len(self._next) >= self._max_states:
            raise InvalidInput(
                f"the patterns are too complex: they need more than {MAX_STATES} states",
                hint="use fewer or shorter patterns, and smaller counts such as {1,9}",
            )
        self._tests.append(test)
        self._edges.append(edge)
        self._next.append(next_)
        return len(self._next) - 1

    def _add(self, node: Node, after: int) -> int:
        """Return the state from which `node`, then whatever follows from state `after`, is matched."""
        match node:
            case Char():
                return self._state((after,), node.test)
            case Edge():
                return self._state((after,), edge=node.end)
            case Sequence():
                for part in reversed(node.parts):
                    after = self._add(part, after)
                return after
            case Choice():
                return self._state(tuple([self._add(part, after) for part in node.parts]))
            case Repeat():
                return self._repeat(node, after)

    def _repeat(self, node: Repeat, after: int) -> int:
        if node.most is None:
            loop = self._state(())
            self._next[loop] = (self._add(node.part, loop), after)
            after = loop
        else:
            done = after
            for _ in range(node.most - node.least):
                after = self._state((self._add(node.part, after), done))
        for _ in range(node.least):
            after = self._add(node.part, after)
        return after

    # --- following ---------------------------------------------------------------------------------

    def _closure(self, states: list[int], *, at_start: bool, at_end: bool) -> frozenset[int]:
        """Return `states` and all that are reached from them without a character."""
        found: set[int] = set()
        while states:
            state = states.pop()
            if state in found:
                continue
            found.add(state)
            edge = self._edges[state]
            if self._tests[state] is None and (edge is None or (at_end if edge else at_start)):
                states.extend(self._next[state])
        return frozenset(found)

    def _set(self, states: frozenset[int], *, empty: bool = False) -> _Set:
        accepts = 0 in states or 0 in self._closure(list(states), at_start=empty, at_end=True)
        return _Set(states, accepts=accepts)

    def _step(self, current: _Set, char: str) -> _Set:
        if self._remembered >= _MAX_REMEMBERED:
            self._sets.clear()
            self._first.after.clear()
            self._remembered = 0
        tests, next_ = self._tests, self._next
        reached = [next_[s][0] for s in current.states if (test := tests[s]) is not None and test(char)]
        states = self._closure(reached, at_start=False, at_end=False)
        following = self._sets.get(states)
        if following is None:
            following = self._sets[states] = self._set(states)
        current.after[char] = following
        self._remembered += 1
        return following
