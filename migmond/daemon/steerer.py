"""How what acts by itself changes executions: as people do, but as itself, and recorded as automatic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migmond.domain.errors import Conflict, NotFound
from migmond.domain.hold import HoldReason
from migmond.domain.intervention import InterventionKind
from migmond.domain.limits import Limits
from migmond.domain.steering import Pause, Throttle
from migmond.engine.manager import Engine
from migmond.engine.recording import Ask


def lowering(wanted: Throttle, now: Limits) -> Throttle | None:
    """Return of wanted limits those that are below what holds now, None when none is: what throttles by itself makes
    nothing faster that somebody wants slower."""
    told = {name: getattr(wanted, name) for name in wanted.__struct_fields__ if hasattr(now, name)}
    lower: dict[str, Any] = {
        name: value
        for name, value in told.items()
        if isinstance(value, int | float) and (getattr(now, name) is None or value < getattr(now, name))
    }
    return Throttle(**lower) if lower else None


class EngineSteerer:
    """Implements `migmond.ports.Steerer`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def pause(
        self,
        execution: str,
        author: str,
        reason: str,
        why: HoldReason,
        for_s: float | None,
        request_id: str = "",
    ) -> None:
        await self._intervene(execution, Ask(Pause(), author, reason, for_s, request_id, automatic=True, why=why))

    async def throttle(
        self, execution: str, author: str, reason: str, limits: Throttle, for_s: float | None, request_id: str = ""
    ) -> None:
        action = lowering(limits, self._engine.find(execution).limits)
        if action is not None:
            await self._intervene(execution, Ask(action, author, reason, for_s, request_id, automatic=True))

    async def _intervene(self, execution: str, ask: Ask) -> None:
        await self._engine.steering.intervene(self._engine.find(execution), ask)

    async def take_back(self, execution: str, author: str, reason: str) -> int:
        now = self._engine.find(execution)
        mine = [h.intervention for h in now.holds if h.author == author and h.intervention]
        return await self._undo([*mine, *(s.id for s in now.standing if s.author == author)], author, reason)

    async def take_back_requested(self, author: str, kind: InterventionKind, requests: str, reason: str) -> int:
        found = self._engine.undoing.requested(author, requests)
        return await self._undo([i.id for i in found if i.kind is kind], author, reason)

    async def _undo(self, ids: Sequence[str], author: str, reason: str) -> int:
        count = 0
        for id_ in ids:
            try:
                await self._engine.undoing.undo(id_, author, reason)
            except (Conflict, NotFound):  # somebody else was faster, or it has ended or is forgotten
                continue
            count += 1
        return count

    async def stop_all(self, author: str, reason: str) -> None:
        await self._engine.stopping.stop_all(self._engine.all(), author, reason, automatic=True)
