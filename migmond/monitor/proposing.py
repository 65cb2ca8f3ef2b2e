"""What strategies of plugins would change about executions at work: it stands among the suggestions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import trio

from migmond.analytics.shares import shares
from migmond.domain.analysis import SuggestionView
from migmond.domain.units import show_rate
from migmond.monitor.session import Session
from migmond.plugin_api.specs import Proposal, Snapshot
from migmond.ports import Clock

EVERY_S = 10.0
"""How often strategies are asked: what is proposed takes a while to have an effect."""

Propose = Callable[[str, Snapshot, float], Awaitable[Sequence[Proposal]]]


class Proposing:
    """Asks every strategy about every execution at work.

    Args:
        strategies: their names.
        propose: asks one; what fails proposes nothing.
        sessions: returns those of what is at work.
    """

    def __init__(
        self, strategies: Sequence[str], propose: Propose, sessions: Callable[[], Iterable[Session]], clock: Clock
    ) -> None:
        self._strategies = strategies
        self._propose = propose
        self._sessions = sessions
        self._clock = clock

    async def run(self) -> None:
        """Ask until cancelled, if there is anybody to be asked."""
        while self._strategies:
            await self.ask()
            await trio.sleep(EVERY_S)

    async def ask(self) -> None:
        """Ask once."""
        for session in list(self._sessions()):
            snapshot, found = snapshot_of(session), list[SuggestionView]()
            for strategy in self._strategies:
                proposals = await self._propose(strategy, snapshot, self._clock.monotonic())
                found += [suggestion(strategy, snapshot, p) for p in proposals]
            session.proposed = tuple(found)


def snapshot_of(session: Session) -> Snapshot:
    """Return what strategies are told."""
    seen, situation, current = session.observation, session.situation(), session.rates(0.0).current
    figures = {
        "cpu_busy": situation.cpu_busy,
        "source_busy": situation.source.busy if situation.source is not None else None,
        "target_busy": situation.target.busy if situation.target is not None else None,
        "most_workers": seen.most_workers,
        "pending": situation.pending,
        **{f"share_{cause.value}": share for cause, share in shares(situation).items()},
    }
    return Snapshot(
        seen.execution.id,
        situation.movers,
        current.bytes_per_s if current is not None else None,
        current.entries_per_s if current is not None else None,
        {name: float(value) for name, value in figures.items() if value is not None},
    )


def suggestion(strategy: str, snapshot: Snapshot, proposal: Proposal) -> SuggestionView:
    """Return a proposal as people are told; the host has checked it."""
    value = int(proposal.value)
    text, command = {
        "workers": (f"workers {snapshot.workers}→{value}", f"workers ID {value}"),
        "batch": (
            f"batches of {value:,} entries" if value else "batches as they go well",
            f"batch ID {value or 'auto'}",
        ),
        "io": (f"at most {show_rate(value)}", f"throttle ID --io {value}B"),
    }[proposal.action]
    gain, because = proposal.expected_gain, f"{proposal.why} (strategy {strategy})"
    return SuggestionView(strategy, text, command, gain / 2, gain, because)
