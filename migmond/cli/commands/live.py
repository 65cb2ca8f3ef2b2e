"""Commands that follow what happens: watch, top."""

from __future__ import annotations

import datetime
import sys
import time
from collections import deque

import click
import msgspec

from migmond.cli.commands.alerts import firing_alerts
from migmond.cli.commands.look import LIVE, width, worst
from migmond.cli.connect import connect
from migmond.cli.exits import Exit
from migmond.cli.follow import detaching, events_of, exit_after, follow, reconnected, ways_back
from migmond.cli.meant import meant, named
from migmond.cli.parse import Seconds, execution_argument, global_options
from migmond.cli.render.alerts import alerts_of, machine_alerts, with_alerts
from migmond.cli.render.execution import details, listing, summary
from migmond.cli.render.machine import PREFIXES, Transfer, machine_line, transfer
from migmond.cli.render.monitoring import share_text
from migmond.cli.render.text import painted, printable, rate_text
from migmond.cli.state import State
from migmond.client.errors import RemoteError, Unreachable
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.analysis import WhyParams, WhyView
from migmond.domain.samples import Samples, SamplesParams, SampleView

_LOOKS_DRAWN = 30
"""One every two seconds: the last minute."""
_EXPLAINED = 20
"""A terminal shows few more; each costs a question a second."""


@click.command()
@execution_argument()
@global_options
@click.pass_obj
def watch(state: State, id_: str) -> None:
    """Follow a migration until it ends. With --json every event is a line; of one that has ended, it is itself."""
    with connect(state, timeout_s=None) as client:
        view = meant(state, client, id_)
        with detaching(state, view.name, ways_back(view)):
            if state.json:
                told = False
                for event in events_of(state, client, view.id):
                    state.emit("event", event)
                    told = True
                with connect(state, start=False) as after:  # the one before may have been lost on the way
                    ended = named(after, view.id)
                if not told:  # it had ended before: what it has come to is all there is to say
                    state.emit("execution", ended)
            else:
                found = follow(state, client, view.id)
                assert found is not None
                ended = found
                state.say(*summary(ended))
    sys.exit(exit_after(ended))


@click.command()
@execution_argument(required=False)
@click.option("--interval", type=Seconds(0.2, 60), default=1.0, show_default=True, help="Seconds.")
@global_options
@click.pass_obj
def top(state: State, id_: str | None, interval: float) -> None:
    """Watch all migrations, worst first. One snapshot when standard output is no terminal."""
    client = connect(state)
    if id_ is not None:
        id_ = meant(state, client, id_).id
    if state.json:
        state.emit(*_snapshot(client, id_))
        return
    machine = Machine()
    if not state.live_output():
        state.show(_top_lines(client, id_, machine), marks=True)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    paint = painted if state.wants_color() else str
    try:
        with Live(console=Console(highlight=False, markup=False), screen=True, auto_refresh=False) as screen:
            while True:
                try:
                    lines = [paint(printable(line)) for line in _top_lines(client, id_, machine)]
                except Unreachable:
                    client.close()
                    client = reconnected(state, lambda text: screen.update(Text(text), refresh=True))
                    continue
                screen.update(Text.from_ansi("\n".join(lines)), refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        sys.exit(Exit.DONE)


def _snapshot(client: Client, id_: str | None) -> tuple[str, api.ExecutionView | api.ExecutionPage]:
    if id_ is not None:
        return "execution", named(client, id_)
    return "executions", worst(client, (), 100)


class Machine:
    """What `top` tells of the machine: it remembers the counters of its last look."""

    def __init__(self) -> None:
        self._last: Transfer | None = None
        self._rates: tuple[float, float] | None = None
        self._lately: deque[float] = deque(maxlen=_LOOKS_DRAWN)

    def line(self, client: Client) -> str:
        """Return one line, "" when no collector tells anything."""
        samples: list[SampleView] = []
        try:
            for prefix in PREFIXES:
                samples += client.call("metrics.latest", SamplesParams(prefix), Samples).samples
        except RemoteError:  # a daemon without collectors, or without that method
            return ""
        now = transfer(samples)
        if now is not None and self._last is not None and now.at != self._last.at:
            seconds = _seconds_between(self._last.at, now.at)
            if seconds > 0:
                read, written = now.read - self._last.read, now.written - self._last.written
                self._rates = (max(0.0, read / seconds), max(0.0, written / seconds))
                self._lately.append(self._rates[1])
        self._last = now
        return machine_line(samples, self._rates, self._lately)


def with_bottlenecks(client: Client, page: api.ExecutionPage) -> api.ExecutionPage:
    """Return the page with what keeps back each that runs, where the daemon can tell: of so many, that it costs neither
    of us anything to speak of."""
    asked = [e for e in page.executions if e.state == "running" and not e.why][:_EXPLAINED]
    found: dict[str, str] = {}
    for execution in asked:
        try:
            time_ = client.call("execution.why", WhyParams(execution.id), WhyView).time
        except RemoteError:  # it has ended meanwhile, or the daemon has no such method
            continue
        if time_ is not None and time_.bottleneck is not None:
            found[execution.id] = share_text([time_.bottleneck])
    told = (msgspec.structs.replace(e, why=found.get(e.id, e.why)) for e in page.executions)
    return api.ExecutionPage(tuple(told), page.total)


def _seconds_between(before: str, after: str) -> float:
    return (datetime.datetime.fromisoformat(after) - datetime.datetime.fromisoformat(before)).total_seconds()


def _top_lines(client: Client, id_: str | None, machine: Machine) -> list[str]:
    found = _snapshot(client, id_)[1]
    firing = firing_alerts(client, id_ or "")
    if isinstance(found, api.ExecutionView):
        return [*details(found), *alerts_of(firing)]
    told = machine.line(client)
    found = with_bottlenecks(client, with_alerts(found, firing))
    live = [e for e in found.executions if e.state in LIVE]
    failing = sum(1 for e in live if e.progress.failed.entries)
    rate = sum(e.progress.bytes_per_s or 0 for e in live)
    head = f"{len(live)} running or held, {failing} of them with failures, {found.total - len(live)} ended"
    return [f"{head}   {rate_text(rate)}", *([told] if told else []), *machine_alerts(firing), *listing(found, width())]
