"""What rules may name besides the metrics of collectors, the rules that are there, and how alerts change their state:
parts of the page of metrics (`python -m migmond.plugin_host.reference`), made from what the code holds."""

from __future__ import annotations

from migmond.alerting.builtin import builtin_rules
from migmond.alerting.metrics import METRICS
from migmond.domain.alert_expression import show_condition
from migmond.domain.states import ALERT_TRANSITIONS, mermaid
from migmond.domain.units import show_duration

_METRICS = """What the monitor makes at each look, for charts and rules. Rules may name these and those of all
collectors."""
_RULES = """These are there without being made: `migmon rules show`, `edit`, `disable`. Conditions are as
`migmon rules add --when` takes them: `migmon rules --help`."""


def markdown() -> list[str]:
    """Return the lines of Markdown."""
    lines = ["## For rules", "", _METRICS, "", "| metric | kind | unit | of each | meaning |"]
    lines.append("| --- | --- | --- | --- | --- |")
    lines += [
        f"| `{m.name}` | {m.kind.value} | {m.unit or 'number'} | `{m.label}` | {_cell(m.help)} |" for m in METRICS
    ]
    lines += ["", "# Built-in alert rules", "", _RULES, "", "| rule | severity | when | why | keeps quiet |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for rule in builtin_rules():
        when = _cell(show_condition(rule.condition))
        again = f"Actions again after {show_duration(rule.cooldown_s)}." if rule.cooldown_s else ""
        why = _cell(f"{rule.description}. {again}".strip())
        lines.append(f"| `{rule.id}` | {rule.severity.value} | `{when}` | {why} | {', '.join(rule.inhibits)} |")
    lines += ["", "States of an alert; one that never fired is not kept:", "", "```mermaid"]
    return [*lines, mermaid(ALERT_TRANSITIONS), "```", ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
