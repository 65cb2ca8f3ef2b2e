"""The order in which entries begin, against sorting all of them by what the words say."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.selector import Selector
from migmond.domain.steering import Level, Move, Pause, Place, Prioritise, Skip
from migmond.planning.line import WINDOW, Effect, Line, Marks, Rule

ALL = Selector()
NUMBERS = st.sampled_from([1, 2, 3, 9, 64, 70_000, WINDOW - 1, WINDOW, 3 * WINDOW + 5])
SETS = st.sets(NUMBERS, max_size=6)
EFFECTS = st.one_of(
    st.builds(Prioritise, st.just(ALL), st.sampled_from(Level)),
    st.builds(Move, st.just(ALL), st.sampled_from([Place.FIRST, Place.LAST])),
    st.builds(Move, st.just(ALL), st.just(Place.BEFORE), NUMBERS),
    st.just(Pause()),
    st.just(Skip(ALL)),
)


def naively(ready: set[int], rules: list[tuple[Effect, set[int]]], sequence: list[int]) -> list[int]:
    """Return the line, built step by step."""
    blocked = {n for effect, its in rules if isinstance(effect, Pause | Skip) for n in its}
    place: dict[int, int] = {}
    level = dict.fromkeys(ready, Level.NORMAL)
    for position, (effect, its) in enumerate(rules):
        for n in its & ready:
            if isinstance(effect, Prioritise):
                level[n] = effect.level
            if isinstance(effect, Move) and not (effect.place is Place.BEFORE and effect.before == n):
                place[n] = position

    def anchored(position: int) -> bool:
        met = set()
        while True:
            effect = rules[position][0]
            assert isinstance(effect, Move)
            if effect.place is not Place.BEFORE:
                return True
            if position in met or effect.before not in ready:
                return False
            met.add(position)
            if effect.before not in place:
                return True
            position = place[effect.before]

    def key(n: int) -> tuple[int, int, int, int]:
        at = sequence.index(n) if n in sequence else len(sequence) + n
        if n not in place:
            return (2, list(Level).index(level[n]), at, n)
        effect = rules[place[n]][0]
        assert isinstance(effect, Move)
        if effect.place is Place.BEFORE:  # at once
            return (0, place[n], n if not sequence else at, n)
        return (1, -place[n], at, n) if effect.place is Place.FIRST else (3, place[n], at, n)

    before: dict[int, list[int]] = {}
    standing = []
    for n in sorted(ready):
        if n in place:
            effect = rules[place[n]][0]
            assert isinstance(effect, Move)
            if effect.place is Place.BEFORE and anchored(place[n]):
                before.setdefault(effect.before, []).append(n)
                continue
        standing.append(n)
    line: list[int] = []

    def put(n: int) -> None:
        for member in sorted(before.get(n, ()), key=lambda m: (place[m], m)):
            put(member)
        line.append(n)

    for n in sorted(standing, key=key):
        put(n)
    return [n for n in line if n not in blocked]


@given(SETS, st.lists(st.tuples(EFFECTS, SETS), max_size=6), st.permutations([1, 2, 3, 9, 64]), st.integers(1, 9))
def test_the_line_is_what_the_words_say(
    ready: set[int], rules: list[tuple[Effect, set[int]]], order: list[int], limit: int
) -> None:
    for sequence in ([], order):
        line, made = Line(), []
        for position, (effect, its) in enumerate(rules):
            made.append(Rule(f"i-{position}", effect))
            made[-1].marks.add(its)
        line.set_rules(made)
        line.set_sequence(array("Q", sequence))
        line.put(ready, followers=False)
        expected, left = naively(ready, rules, sequence), set(ready)
        assert line.held(followers=False) == len(
            {n for e, its in rules if isinstance(e, Pause) for n in its & ready}
            - {n for e, its in rules if isinstance(e, Skip) for n in its}
        )
        # All at once, in the order that holds then; whoever takes some changes what was moved before them.
        everything = line.next(1 << 30, followers=False)
        assert everything == expected
        assert line.next(1 << 30, followers=True) == []
        line.changed()
        while page := line.next(limit, followers=False):
            expected = naively(left, rules, sequence)
            assert page[:limit] == expected[: len(page[:limit])]
            for n in page[:limit]:
                line.ready[False].discard(n)
                left.discard(n)
        assert naively(left, rules, sequence) == []


@given(st.lists(st.tuples(st.booleans(), NUMBERS)))
def test_marks_are_a_set(steps: list[tuple[bool, int]]) -> None:
    marks, oracle = Marks(), set[int]()
    for add, number in steps:
        if add:
            marks.add([number])
            oracle.add(number)
        else:
            marks.discard(number)
            oracle.discard(number)
    assert {n for n in range(4 * WINDOW) if n in oracle or n in marks} == oracle
    assert sum(marks.window(w).bit_count() for w in range(marks.windows)) == len(oracle)
