"""Whose turn it is: how many executions run side by side, in the order in which they came. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class TurnLimits(msgspec.Struct, frozen=True):
    """What an administrator allows; the configuration has the same defaults and their help.

    Attributes:
        running, running_per_user: executions that work at the same time, of all users and of one; paused ones and
            verifications count, their movers keep their place.
        movers, movers_per_user: copying movers of these.
        waiting, waiting_per_user: executions that wait for their turn.
    """

    running: int = 64
    running_per_user: int = 16
    movers: int = 256
    movers_per_user: int = 128
    waiting: int = 5000
    waiting_per_user: int = 500

    @property
    def most_movers(self) -> int:
        """Of one execution."""
        return min(self.movers, self.movers_per_user)


class Work(msgspec.Struct, frozen=True):
    """What one execution takes while it runs. `uid`: whose rights its movers have."""

    id: str
    uid: int
    movers: int


class Obstacle(msgspec.Struct, frozen=True):
    """Why something has to wait, for people. `own`: its user alone is in its way; others need not wait behind it."""

    text: str
    own: bool


def obstacle(work: Work, running: Iterable[Work], limits: TurnLimits) -> Obstacle | None:
    """Return why `work` may not begin beside what is `running`; None when it may."""
    running = list(running)
    own = [w for w in running if w.uid == work.uid]
    if len(own) >= limits.running_per_user:
        return Obstacle(f"{len(own)} of this user's run, the limit is {limits.running_per_user}", own=True)
    if own and sum(w.movers for w in own) + work.movers > limits.movers_per_user:
        taken = sum(w.movers for w in own)
        text = f"it takes {work.movers} movers, this user's have {taken} of {limits.movers_per_user}"
        return Obstacle(text, own=True)
    if len(running) >= limits.running:
        return Obstacle(f"as many run as may, {limits.running}", own=False)
    if running and sum(w.movers for w in running) + work.movers > limits.movers:
        return Obstacle(f"it takes {work.movers} movers, not so many of {limits.movers} are free", own=False)
    return None


def next_turns(running: Iterable[Work], waiting: Iterable[Work], limits: TurnLimits) -> list[Work]:
    """Return which of `waiting`, first come first served, may begin now.

    Who waits because of others is not overtaken: something large would wait for ever. Who waits because of what the
    same user runs is, but not by that user.
    """
    running, chosen, stopped = list(running), [], set[int]()
    for work in waiting:
        if work.uid in stopped:
            continue
        why = obstacle(work, running, limits)
        if why is None:
            chosen.append(work)
            running.append(work)
        elif not why.own:
            break
        else:
            stopped.add(work.uid)
    return chosen
