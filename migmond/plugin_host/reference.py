"""The page of every metric and of every table that can be exported, from what the plugins register and exports hold:
`python -m migmond.plugin_host.reference` prints it."""

from __future__ import annotations

import itertools
import signal
import time

from migmond.alerting.reference import markdown as alert_markdown
from migmond.analytics.exposition import DROPPED, MAX_SERIES
from migmond.analytics.run_metrics import MOST_ENDED, families
from migmond.analytics.schemas import markdown
from migmond.domain.samples import MetricList, MetricView
from migmond.domain.units import show_duration
from migmond.plugin_host.discovery import installed
from migmond.plugin_host.host import PluginHost

_INTRODUCTION = """Every metric that the installed plugins provide, with its unit and meaning; `migmon metrics` shows
the values. A gauge may go up and down; a counter only grows, until what it counts starts anew. Units are base units;
ratios are 0 to 1 unless it says otherwise. Where there is no value, the sample says why; missing data is never 0."""

_EXECUTIONS = f"""With `migmon export --format prometheus`: of all that have not ended, and of the newest {MOST_ENDED:,}
that have. A metric has at most {MAX_SERIES:,} series there; what is left out is counted in `{DROPPED}`."""

_TABLES = """What `migmon export --table` and the method `report.export` give, as CSV, JSON lines or Parquet. An empty
value is unknown, or does not apply."""


def reference(found: MetricList) -> str:
    """Return Markdown: the metrics of each collector, the kinds of notes, then executions and tables of exports."""
    lines = ["# Metrics of migmond", "", _INTRODUCTION, ""]
    by_collector = sorted(found.metrics, key=lambda m: (m.plugin, m.collector, m.name))
    for (plugin, collector), metrics in itertools.groupby(by_collector, lambda m: (m.plugin, m.collector)):
        group = list(metrics)
        every = show_duration(group[0].interval_s)
        lines += [f"## {collector}", "", f"Plugin `{plugin}`, every {every} unless configured otherwise.", ""]
        lines += ["| metric | kind | unit | of each | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(metric) for metric in group]
        lines.append("")
    if found.note_kinds:
        lines += ["## Notes", "", "What is told in words: `migmon metrics --notes`.", ""]
        lines += ["| kind | collector | meaning |", "| --- | --- | --- |"]
        lines += [f"| `{k.kind}` | {k.collector} | {_cell(k.help)} |" for k in found.note_kinds]
        lines.append("")
    lines += [*_executions(), *alert_markdown(), "# Tables of exports", "", _TABLES, "", markdown().rstrip("\n"), ""]
    return "\n".join(lines)


def _executions() -> list[str]:
    """What `migmon export --format prometheus` tells of executions besides the metrics of collectors."""
    lines = ["## Executions", "", _EXECUTIONS, "", "| metric | kind | unit | of each | meaning |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for family in families():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        unit = family.unit or "number"
        lines.append(f"| `{family.name}` | {family.kind.value} | {unit} | {labels} | {_cell(family.help)} |")
    return [*lines, ""]


def _row(metric: MetricView) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "machine"
    return f"| `{metric.name}` | {metric.kind} | {metric.unit or 'number'} | {labels} | {_cell(metric.help)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough (`| head`) ends it
    print(reference(PluginHost(installed({}), {}, time.time).metrics()), end="")
