"""Waiting for an execution with its progress on view; the connection may break and come back meanwhile."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol

from migmond.cli.connect import connect
from migmond.cli.exits import Exit
from migmond.cli.render.execution import live_lines, progress_line
from migmond.cli.render.text import printable
from migmond.cli.state import State, terminal_columns
from migmond.client.errors import Unreachable
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.event_api import SubscribeParams, Subscription
from migmond.domain.events import Event, ExecutionVerified
from migmond.domain.states import TERMINAL_EXECUTION_STATES

ENDED = frozenset(s.value for s in TERMINAL_EXECUTION_STATES)
RECONNECT_S = 30.0
START_AGAIN_S = 2.0
_PLAIN_EVERY_S = 5.0
_POLL_S = 0.5


class Screen(Protocol):
    """Where progress is shown."""

    def update(self, view: api.ExecutionView) -> None: ...
    def __enter__(self) -> Screen: ...
    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None: ...


class PlainScreen:
    """A line every few seconds, for scripts and logs."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._last = time.monotonic()

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        return None

    def update(self, view: api.ExecutionView) -> None:
        """Show `view` if it is time to."""
        if time.monotonic() - self._last >= _PLAIN_EVERY_S:
            self._last = time.monotonic()
            self._state.say(progress_line(view))


class LiveScreen:
    """Lines that are drawn over each other on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveScreen:
        self._live.__enter__()
        return self

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        self._live.__exit__(k, e, t)

    def update(self, view: api.ExecutionView) -> None:
        """Draw `view`."""
        from rich.text import Text

        width = terminal_columns() - 1
        self._live.update(Text("\n".join(live_lines(view, width))), refresh=True)


def follow(state: State, client: Client, execution: str, timeout_s: float | None = None) -> api.ExecutionView | None:
    """Show progress until the execution has ended; None when `timeout_s` passed before.

    Raises:
        Unreachable: the daemon went away and did not come back in time.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    screen: Screen = LiveScreen() if state.live() else PlainScreen(state)
    with screen:
        while True:
            try:
                for view in _views(client, execution):
                    if view is not None:
                        screen.update(view)
                        if view.state in ENDED:
                            return view
                    if deadline is not None and time.monotonic() >= deadline:
                        return None
            except Unreachable:
                client.close()
                try:
                    client = reconnected(state, state.say, deadline)
                except TimeoutError:
                    return None


def _views(client: Client, execution: str) -> Iterator[api.ExecutionView | None]:
    """Yield the execution whenever something about it is new; None now and then when nothing is."""
    subscribe = SubscribeParams(types=("execution.",), executions=(execution,), interval_s=0.4)
    snapshot = client.call("events.subscribe", subscribe, Subscription)
    yield snapshot.executions[0]
    for delivery in client.events(timeout_s=_POLL_S):
        if delivery is not None and delivery.missed:
            yield client.call("execution.get", api.ExecutionParams(execution), api.ExecutionView)
        yield getattr(delivery.event, "view", None) if delivery is not None else None


def reconnected(state: State, say: Callable[[str], None], deadline: float | None = None) -> Client:
    """The daemon is gone: wait for it to come back. The journal keeps everything, a new daemon resumes by itself.

    Nobody but us restarts a per-user daemon: after a moment, in which it may be restarting all the same, we do.

    Args:
        say: tells people.
        deadline: monotonic time when the caller's own patience ends.

    Raises:
        TimeoutError: `deadline` passed first.
        Unreachable: it did not come back in time.
    """
    say("the daemon is gone; waiting for it to come back (the journal keeps the state)")
    began = time.monotonic()
    give_up = began + RECONNECT_S
    while True:
        try:
            return connect(state, start=time.monotonic() - began >= START_AGAIN_S)
        except Unreachable as e:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise TimeoutError from e
            if now >= give_up:
                raise Unreachable(
                    f"the daemon did not come back within {RECONNECT_S:.0f} s",
                    "nothing is lost: the journal keeps the state; start it again and it resumes; then migmon ls",
                ) from e
            time.sleep(0.2)


def events_of(state: State, client: Client, execution: str) -> Iterator[Event]:
    """Yield every event of an execution until it has ended; after a lost connection, from where it broke.

    Raises:
        Unreachable: the daemon went away and did not come back in time.
    """
    last: int | None = None
    while True:
        try:
            subscribe = SubscribeParams(executions=(execution,), since=last)
            snapshot = client.call("events.subscribe", subscribe, Subscription)
            ended = snapshot.executions[0].state in ENDED
            if snapshot.gap:
                state.say("events were lost while the daemon was away")
            if ended and last is None:
                return
            for delivery in client.events(timeout_s=_POLL_S if ended else None):
                if delivery is None:  # it ended while we were away, and what the daemon still had has been read
                    return
                if delivery.missed:
                    state.say(f"{delivery.missed} events were lost: this reader is too slow")
                last = delivery.event.id
                yield delivery.event
                view = getattr(delivery.event, "view", None)
                if view is not None and view.state in ENDED:
                    return
        except Unreachable:
            client.close()
            client = reconnected(state, state.say)


def wait_verified(state: State, client: Client, execution: str) -> api.ExecutionView:
    """Start a verification and wait for its result."""
    client.call("events.subscribe", SubscribeParams(("execution.",), (execution,)), Subscription)
    view = client.call("execution.verify", api.ExecutionParams(execution), api.ExecutionView)
    last = time.monotonic()
    for delivery in client.events(timeout_s=_POLL_S):
        if delivery is not None and isinstance(delivery.event, ExecutionVerified):
            break
        now = client.call("execution.get", api.ExecutionParams(execution), api.ExecutionView)
        if not now.why.startswith("verifying"):
            break
        if state.live():
            sys.stderr.write(f"\r{printable(now.why)}   ")
            sys.stderr.flush()
        elif time.monotonic() - last >= _PLAIN_EVERY_S:
            last = time.monotonic()
            state.say(now.why)
    if state.live():
        sys.stderr.write("\r\x1b[K")
    return client.call("execution.get", api.ExecutionParams(view.id), api.ExecutionView)


def exit_after(view: api.ExecutionView) -> Exit:
    """Return the exit code that an ended execution means."""
    if view.state == "completed":
        return Exit.DONE
    if view.state == "completed_with_errors":
        return Exit.SOME_FILES_FAILED
    return Exit.FAILED


def ways_back(execution: api.ExecutionView) -> str:
    """Return how to get back to an execution that somebody detached from."""
    short = execution.id[:6]
    return f"watch it: migmon watch {short}    stop it: migmon cancel {short}"


@contextlib.contextmanager
def detaching(state: State, what: str, ways: str) -> Iterator[None]:
    """Ctrl-C leaves `what` running and says how to get back to it."""
    try:
        yield
    except KeyboardInterrupt:
        state.say("", f"detached: {what} goes on in the background", f"  {ways}")
        sys.exit(Exit.DETACHED)
