"""The command metrics: what collectors measure, and what it means."""

from __future__ import annotations

import click

from migmond.cli.commands.look import width
from migmond.cli.connect import connect
from migmond.cli.parse import global_options
from migmond.cli.render.metrics import meaning_lines, note_lines, sample_lines
from migmond.cli.state import State
from migmond.domain import api
from migmond.domain.samples import MetricList, Notes, NotesParams, Samples, SamplesParams

_PAGE = 2_000


@click.command()
@click.argument("prefix", default="")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only series with this label.")
@click.option("--meaning", is_flag=True, help="Show what the metrics mean instead of their values.")
@click.option("--notes", is_flag=True, help="Show what was told in words, such as the kernel's messages about disks.")
@global_options
@click.pass_obj
def metrics(state: State, prefix: str, labels: tuple[str, ...], meaning: bool, notes: bool) -> None:  # noqa: FBT001
    """Show the newest value of every metric.

    With PREFIX: of those whose name begins so; `migmond_` may be left out.
    """
    if meaning and notes:
        raise click.UsageError("--meaning and --notes exclude each other")
    if meaning:
        _meaning(state, prefix)
    elif notes:
        _notes(state)
    else:
        _values(state, prefix, _pairs(labels))


def _values(state: State, prefix: str, labels: dict[str, str]) -> None:
    with connect(state) as client:
        found, offset = [], 0
        while True:
            page = client.call("metrics.latest", SamplesParams("", labels, offset, _PAGE), Samples)
            found += [s for s in page.samples if _begins(s.metric, prefix)]
            offset += len(page.samples)
            if not page.samples or offset >= page.total:
                break
    if state.json:
        state.emit("samples", Samples(tuple(found), len(found)))
    elif found:
        state.show(sample_lines(found, width()))
    else:
        state.say("no metric has such a name; migmon metrics --meaning shows all of them")


def _meaning(state: State, prefix: str) -> None:
    with connect(state) as client:
        found = client.call("metrics.list", api.Nothing(), MetricList)
    chosen = tuple(m for m in found.metrics if _begins(m.name, prefix))
    if state.json:
        state.emit("metrics", MetricList(chosen, found.note_kinds))
    else:
        state.show(meaning_lines(chosen))


def _notes(state: State) -> None:
    with connect(state) as client:
        found = client.call("metrics.notes", NotesParams(), Notes)
    if state.json:
        state.emit("notes", found)
    elif found.notes:
        state.show(note_lines(found.notes, width()))
    else:
        state.say("nothing was told")


def _begins(name: str, prefix: str) -> bool:
    return name.startswith(prefix) or name.removeprefix("migmond_").startswith(prefix)


def _pairs(labels: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(label.partition("=")[::2] for label in labels)
    if bad := [label for label in labels if "=" not in label]:
        raise click.UsageError(f"{bad[0]!r} is no NAME=VALUE")
    return pairs
