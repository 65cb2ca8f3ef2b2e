"""The verifications that run: at most one of an execution, and none while something works on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import trio

from migmond.domain.errors import Conflict, LimitExceeded
from migmond.domain.events import ExecutionVerified
from migmond.domain.execution import Execution, Verification
from migmond.engine.causes import why
from migmond.engine.settings import Surroundings
from migmond.engine.turns import Turns, crew_size
from migmond.engine.verify import Verifier
from migmond.engine.views import verification_view
from migmond.planning.turns import Work


class Verifications:
    """Begins, shows and ends them.

    Args:
        nursery: where they run.
        turns: a verification takes one as an execution does, but does not stand in line for it.
        put: takes an execution with its result; must not raise.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        nursery: trio.Nursery,
        turns: Turns,
        put: Callable[[Execution], Awaitable[None]],
    ) -> None:
        self._surroundings = surroundings
        self._nursery = nursery
        self._turns = turns
        self._put = put
        self._verifiers: dict[str, Verifier] = {}

    def of(self, execution_id: str) -> Verifier | None:
        """Return the one that runs for an execution."""
        return self._verifiers.get(execution_id)

    def refuse_while_verified(self, execution: Execution) -> None:
        """Raise Conflict when the execution is being verified."""
        if execution.id in self._verifiers:
            raise Conflict(f"{execution.name} is being verified", hint="migmon show tells how far it is")

    def begin(self, execution: Execution) -> None:
        """Start to re-read the targets.

        Raises:
            Conflict: it is being verified.
            LimitExceeded: as much runs as may.
        """
        self.refuse_while_verified(execution)
        work = Work(execution.id, execution.identity.uid, crew_size(execution, self._surroundings.settings))
        if obstacle := self._turns.take(work):
            raise LimitExceeded(
                f"{execution.name} cannot be verified now: {obstacle.text}", hint="try again when some have ended"
            )
        verifier = self._verifiers[execution.id] = Verifier(self._surroundings, execution)
        self._nursery.start_soon(self._verify, execution, verifier)

    async def cancel(self, execution: Execution, author: str) -> None:
        """End one; what it found so far stays on record. Returns when nothing works on it any more.

        Raises:
            Conflict: the execution is not being verified.
        """
        verifier = self._verifiers.get(execution.id)
        if verifier is None:
            raise Conflict(f"{execution.name} is not being verified", hint="migmon show tells what the last one found")
        verifier.cancel(author)
        await verifier.finished.wait()

    async def _verify(self, execution: Execution, verifier: Verifier) -> None:
        try:
            verification = await self._attended(verifier, execution.id)
            await self._put(msgspec.structs.replace(execution, verification=verification))
        finally:
            del self._verifiers[execution.id]
            self._turns.end(execution.id)
            verifier.finished.set()
        outcome = verification_view(verification)
        self._surroundings.bus.publish(lambda i, at: ExecutionVerified(i, at, execution.id, outcome))

    async def _attended(self, verifier: Verifier, execution_id: str) -> Verification:
        """Whatever goes wrong with a verification concerns it only, not the daemon, and is said in its result."""
        try:
            found = await verifier.run()
        except* Exception as group:
            text = why(group)
            self._surroundings.log("verification failed", execution=execution_id, why=text)
            found = verifier.result(text)
        return found
