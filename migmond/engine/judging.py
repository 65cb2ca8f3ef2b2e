"""Which entries the rules in force pick: holds, skips, priorities, places in the line and routes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from migmond.domain.execution import Execution
from migmond.domain.file_kinds import FileKind
from migmond.domain.journal import FaultRecord
from migmond.domain.states import TaskState
from migmond.domain.steering import Pause, Route, Skip
from migmond.domain.task import Task, may_be_read
from migmond.engine.in_force import InForce, rules_in_force
from migmond.engine.scope import Scope
from migmond.planning.line import Effect, Rule
from migmond.planning.routes import destination_for
from migmond.planning.selection import Candidate, Matcher

_NOTHING_READ: Mapping[int, FileKind] = MappingProxyType({})


class Judging:
    """The rules, and what is known of entries that they have not seen on their way into the line."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._rules: dict[str, InForce] = {}
        self._learned: dict[int, FileKind] = {}
        """What is not judged anew yet of what turned out to be of a kind that is held or skipped."""
        self._tried: set[int] = set()
        """What was tried before and is not judged anew yet: rules look at what is pending, and at why it failed."""

    def __iter__(self) -> Iterator[InForce]:
        return iter(list(self._rules.values()))

    def __len__(self) -> int:
        return len(self._rules)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._rules

    def follow(self, execution: Execution) -> set[str]:
        """Take over the rules of an execution as it is now; what is known of those that stay is kept. Returns the ids
        of skips that are in force no more."""
        before = self._rules
        self._rules = {}
        for id_, (effect, selector, since) in rules_in_force(execution).items():
            known = before.get(id_)
            self._rules[id_] = known if known is not None else InForce(Rule(id_, effect), selector, since)
        return {i for i, r in before.items() if isinstance(r.rule.effect, Skip) and i not in self._rules}

    def is_in_force(self, rule: InForce) -> bool:
        """Whether it still is."""
        return self._rules.get(rule.rule.id) is rule

    @property
    def skips(self) -> list[InForce]:
        """Those that leave entries out."""
        return [r for r in self._rules.values() if isinstance(r.rule.effect, Skip)]

    @property
    def parting(self) -> list[InForce]:
        """Those that hold or skip some entries, while others go on."""
        return [r for r in self._rules.values() if isinstance(r.rule.effect, Pause | Skip)]

    @property
    def ready(self) -> list[tuple[InForce, Matcher]]:
        """Those that can judge, with what they judge by: a pattern that takes long to compile is compiled elsewhere."""
        return [(r, r.matcher) for r in self._rules.values() if r.matcher is not None]

    def learn(self, number: int, kind: FileKind) -> None:
        """The content of a task was read; it is on its way into the journal, and is to be judged by that."""
        self._learned[number] = kind

    def judge_anew(self, number: int) -> None:
        """A task that was tried is pending again."""
        self._tried.add(number)

    def forget_learned(self) -> None:
        """Their kinds are in the journal by now, or are found out again."""
        self._learned.clear()

    def is_late(self, task: Task) -> bool:
        """Whether some rule has not judged a task as it is."""
        number = task.number
        if number in self._learned or number in self._tried:
            return True
        return any(number > r.upto[bool(task.leader)] for r in self._rules.values())

    async def judge(self, tasks: Sequence[Task]) -> bool:
        """Have all rules judge a few tasks; returns whether any picks one of which that was not known."""
        if not tasks:
            return False
        rules = self.ready
        candidates = await self._candidates(tasks, [m for _, m in rules])
        marked = False
        for rule, matcher in rules:
            its = [n for n, c in candidates.items() if n not in rule.rule.marks and matcher.picks(c)]
            rule.rule.marks.add(its)
            marked |= bool(its)
        for task in tasks:
            self._learned.pop(task.number, None)
            self._tried.discard(task.number)
        return marked

    async def parted(self, tasks: Sequence[Task], read: Mapping[int, FileKind]) -> dict[int, type[Effect]]:
        """Return which of a few tasks are skipped or held, by number.

        Args:
            read: what movers have found out about their contents, and not told in an answer yet.
        """
        rules = [(r.rule.effect, r.matcher) for r in self.parting if r.matcher is not None]
        candidates = await self._candidates(tasks, [m for _, m in rules], read) if rules else {}
        found: dict[int, type[Effect]] = {}
        for number, candidate in candidates.items():
            kinds = {type(effect) for effect, matcher in rules if matcher.picks(candidate)}
            if kinds:
                found[number] = Skip if Skip in kinds else Pause
        return found

    async def withheld(self, tasks: Sequence[Task]) -> dict[int, tuple[FileKind, ...]]:
        """Return, by number, the kinds of content of which a few tasks are held or skipped if they turn out so, of
        those that nobody has read: what they are is known when a mover has opened them."""
        rules = [r.matcher for r in self.parting if r.matcher is not None and r.matcher.asks_for_content]
        unread = [t for t in tasks if may_be_read(t)] if rules else []
        found: dict[int, tuple[FileKind, ...]] = {}
        for number, candidate in (await self._candidates(unread, rules)).items() if unread else ():
            kinds = {kind for matcher in rules if matcher.may_pick(candidate) for kind in matcher.kinds}
            if kinds:
                found[number] = tuple(sorted(kinds))
        return found

    async def skipped_by(self, tasks: Sequence[Task]) -> dict[int, str]:
        """Return which change skips each of a few tasks, of those that are skipped, by number."""
        found: dict[int, str] = {}
        candidates = await self._candidates(tasks, ())
        for rule in self.skips:
            if rule.matcher is not None:
                found |= {n: rule.rule.id for n, c in candidates.items() if rule.matcher.picks(c)}
        return found

    def destination_of(self, task: Task) -> int:
        """Return the number of the destination of a task that was taken: of several routes for it the latest counts."""
        found = 0
        for rule in self._rules.values():
            if isinstance(rule.rule.effect, Route) and task.number in rule.rule.marks:
                found = destination_for(rule.rule.effect, self._scope.account.execution)
        return found

    async def _candidates(
        self, tasks: Sequence[Task], matchers: Sequence[Matcher], read: Mapping[int, FileKind] = _NOTHING_READ
    ) -> dict[int, Candidate]:
        """Return what matchers have to know of a few tasks, by number; only what any of them asks for is looked up."""
        scope, journal = self._scope, self._scope.surroundings.journal
        places = await scope.directory_of(list(tasks))
        known: Mapping[int, FaultRecord] = {}
        if any(m.asks_for_errors for m in matchers):
            known = await journal.faults(scope.key, [t.number for t in tasks])
        kinds: dict[int, FileKind] = {}
        if any(m.asks_for_content for m in matchers):
            kinds = await journal.kinds(scope.key, [t.number for t in tasks if may_be_read(t)])
            kinds |= {**self._learned, **read}
        found: dict[int, Candidate] = {}
        for t in tasks:
            path = os.path.join(places[t.number].path, t.name)
            record = known.get(t.number)
            kind, group = (record.fault.kind, record.fault.fingerprint) if record is not None else ("", "")
            content = kinds.get(t.number)
            facts = (path, t.type, t.size, t.mtime_ns, TaskState.PENDING, kind, group, content, t.device)
            found[t.number] = Candidate(*facts)
        return found
