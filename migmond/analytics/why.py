"""Why an execution is not faster, and why one of its files is where it is, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from migmond.analytics.shares import Cause, DeviceLoad, Situation, bottleneck, limits_in_words, ranked
from migmond.analytics.suggest import ROOM, suggestions
from migmond.domain.analysis import ShareView, TaskWhy, TimeView
from migmond.domain.hold import Hold
from migmond.domain.limits import Limits
from migmond.domain.states import Outcome, TaskState
from migmond.domain.units import show_duration

MOSTLY = 0.5
"""So much of the movers' time goes to limits that a file in hand mostly waits for them."""


def where_time_goes(
    situation: Situation,
    holds: Sequence[Hold] = (),
    *,
    max_movers: int | None = None,
) -> TimeView:
    """Return shares, bottleneck, the sentence and suggestions together. `holds`: those that cover all of it."""
    found, reason = bottleneck(situation)
    return TimeView(
        situation.seconds,
        ranked(situation),
        found,
        reason,
        why_not_faster(situation, holds),
        suggestions(situation, max_movers=max_movers),
    )


def line(shares: Sequence[ShareView], at_most: int = 3) -> str:
    """Return `target write 71% (sdc busy 94%) · source read 18% · hash 6%`: what takes a percent at least."""
    parts = [
        f"{s.title} {s.share:.0%}" + (f" ({s.evidence})" if s.evidence else "")
        for s in shares
        if s.share >= 0.01 and s.cause != Cause.OTHER.value
    ]
    return " · ".join(parts[:at_most])


def why_not_faster(situation: Situation, holds: Sequence[Hold] = ()) -> str:
    """Return one sentence, or two. A hold explains everything, then the bottleneck does.

    Args:
        holds: those that cover the whole execution now.
    """
    if holds:
        return f"It stands still: {_all_of(holds)}."
    found, reason = bottleneck(situation)
    if found is None:
        if reason == "not measured yet":
            return "It was not measured long enough to say."
        return f"Nothing in particular holds it up: {reason}."
    limit = _and(limits_in_words(situation.limits, situation.shared)) or "a limit"
    waiting = f"{found.share:.0%} of their time"
    share, also = f"{found.share:.0%} of the movers' time", f" ({found.evidence})" if found.evidence else ""
    sentence = {
        Cause.SOURCE_READ: f"reading the source takes {share}{also}",
        Cause.TARGET_WRITE: f"writing to the target takes {share}{also}",
        Cause.HASH: f"hashing takes {share}{also}",
        Cause.METADATA: f"names and metadata take {share}{also}: it is the number of files that counts, not their size",
        Cause.THROTTLED: f"{limit} keeps the movers waiting {waiting}",
        Cause.HELD: f"it was held for {share}",
        Cause.WAITING: f"movers are without work for {share}{also}",
        Cause.SCANNING: f"the scan takes {share}",
        Cause.VERIFY: f"verification takes {share}{also}",
        Cause.OTHER: "",
    }[Cause(found.cause)]
    return f"It is not faster because {sentence}.{_no_evidence(found, situation)}"


def _no_evidence(found: ShareView, situation: Situation) -> str:
    """Say what does not agree: a disk that has time left although movers wait for it."""
    if found.evidence:
        return ""
    device: DeviceLoad | None = {
        Cause.SOURCE_READ.value: situation.source, Cause.TARGET_WRITE.value: situation.target
    }.get(found.cause)  # fmt: skip
    if device is None or device.busy is None or device.busy >= ROOM:
        return ""
    return f" {device.name} is busy only {device.busy:.0%}: it answers one request after the other, and has room."


def _all_of(holds: Sequence[Hold]) -> str:
    """The one that ends last binds; of those without an end the first."""
    binding = max(holds, key=lambda h: (h.until is None, h.until or 0.0))
    more = len(holds) - 1
    others = f" (and {more} more hold{'s' if more > 1 else ''})" if more else ""
    return f"{hold_in_words(binding)}{others}"


def hold_in_words(hold: Hold) -> str:
    """Return who or what holds it, and why."""
    who = f"{hold.author} paused it" if hold.reason == "user" else f"{hold.author} holds it ({hold.reason.value})"
    return f"{who}: {hold.note}" if hold.note else who


class TaskFacts(msgspec.Struct, frozen=True):
    """What is known of one task at one moment. Times are wall clock seconds.

    Attributes:
        before: tasks that will be handed out before it, None when nobody counted.
        holds: those that cover it, the oldest first.
        mover: slot of the mover that has it in hand.
        handed: some mover was given it, and may have others before it.
        copied: its content has arrived, and waits for the sync that makes it durable.
        bytes_done: of a file in hand.
        limits, shared: of the execution, see `Situation`.
        throttled: share of the movers' time that goes to limits now.
        fault: why the last attempt failed, "" if none did.
        retry_at: when it is tried again.
        leader: path text of the first name of its file, while that has to come first; else "".
    """

    state: TaskState
    outcome: Outcome = Outcome.NONE
    size: int = 0
    before: int | None = None
    holds: tuple[Hold, ...] = ()
    mover: int | None = None
    handed: bool = False
    copied: bool = False
    bytes_done: int = 0
    limits: Limits = Limits()
    throttled: float = 0.0
    attempts: int = 0
    fault: str = ""
    retry_at: float | None = None
    leader: str = ""
    shared: Limits = Limits()


def why_task(facts: TaskFacts, now: float) -> TaskWhy:
    """Return why a task is where it is: what binds most. Its end, then holds, then who has it, then the line."""
    ended = _ended(facts)
    if ended is not None:
        return ended
    if facts.copied:
        return TaskWhy("copied", "It is copied, and waits for the sync that makes it durable.")
    if facts.holds:
        return TaskWhy("held", f"It is held: {_all_of(facts.holds)}.")
    if facts.mover is not None:
        done = f", {facts.bytes_done / facts.size:.0%} done" if facts.size and facts.bytes_done else ""
        if limit := _limit(facts):
            return TaskWhy("limited", f"Mover {facts.mover} has it in hand{done}, and mostly waits for {limit}.")
        return TaskWhy("in_hand", f"Mover {facts.mover} has it in hand{done}.")
    if facts.handed:
        return TaskWhy("in_hand", f"A mover was given it, and comes to it after others{_slowly(facts)}.")
    if facts.state is TaskState.DURABLE:
        return TaskWhy("waiting", "It is complete and durable at the target; its source waits to be removed.")
    if facts.leader:
        return TaskWhy("follows", f"It is a further name of {facts.leader}, which has to be there first.")
    if facts.fault:
        again = "" if facts.retry_at is None else f" in {show_duration(max(0.0, facts.retry_at - now))}"
        return TaskWhy("waiting", f"Attempt {facts.attempts} failed ({facts.fault}); it is tried again{again}.")
    if facts.before is None:
        return TaskWhy("waiting", "It waits for its turn.")
    if facts.before == 0:
        return TaskWhy("waiting", "It is next.")
    many = f"{facts.before:,} task{'s' if facts.before != 1 else ''}"
    return TaskWhy("waiting", f"It waits behind {many}{_slowly(facts)}.")


def _limit(facts: TaskFacts) -> str:
    return _and(limits_in_words(facts.limits, facts.shared)) if facts.throttled >= MOSTLY else ""


def _slowly(facts: TaskFacts) -> str:
    limit = _limit(facts)
    return f"; movers mostly wait for {limit}" if limit else ""


def _ended(facts: TaskFacts) -> TaskWhy | None:
    outcome = facts.outcome.name.lower().replace("_", " ")
    if facts.state is TaskState.DONE:
        return TaskWhy("done", f"It is done ({outcome}).")
    if facts.state is TaskState.SKIPPED:
        return TaskWhy("skipped", f"It was left alone: {_skipped(facts.outcome)}.")
    if facts.state is TaskState.FAILED:
        times = f" after {facts.attempts} attempts" if facts.attempts > 1 else ""
        return TaskWhy("failed", f"It failed{times}: {facts.fault or 'the reason is not on record'}.")
    if facts.state is TaskState.CANCELLED:
        return TaskWhy("cancelled", "The migration was cancelled before its turn.")
    return None


def _skipped(outcome: Outcome) -> str:
    words = {
        Outcome.UNCHANGED: "the target has the same already",
        Outcome.EXISTS: "the target has something else under that name",
        Outcome.OLDER: "the target has a newer one",
        Outcome.NOT_SELECTED: "the selection leaves it out",
        Outcome.OTHER_FILE_SYSTEM: "another file system is mounted there",
        Outcome.SOURCE_GONE: "it vanished from the source",
        Outcome.TEMPORARY: "another migration is still making it",
        Outcome.TARGET_GONE: "what was brought there is not there any more",
        Outcome.TARGET_CHANGED: "what stands there is not what was brought there, or was changed since",
        Outcome.SOURCE_CHANGED: "its source is another version than the one that was copied",
        Outcome.LAST_COPY: "its source is gone or was changed since: what was copied is nowhere else",
        Outcome.LEFT_OUT: "somebody had it skipped",
    }
    return words.get(outcome, outcome.name.lower().replace("_", " "))


def _and(words: Sequence[str]) -> str:
    return " and ".join(f"a {word}" for word in words)
