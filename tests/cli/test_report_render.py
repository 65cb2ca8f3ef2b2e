"""What reports and comparisons look like: whole texts, and what must hold for any names in them."""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fake_reports import BARE, COMPARISON, NOTHING, PERIOD, REPORT
from fake_views import AT
from migmond.cli.render import html
from migmond.cli.render.comparison import comparison_lines
from migmond.cli.render.report import amount_text, finding_lines, period_lines, report_lines
from migmond.cli.render.report_html import period_page, report_page
from migmond.cli.render.text import cells, clock
from migmond.domain.analysis import Curve

WIDE = 1 << 20
WHEN = clock(AT)
PAD = " " * (len(WHEN) - len("ENDED"))
HOSTILE = "a\x1b]0;owned\x07\nb\u202e<img src=x onerror=alert(1)>'\"&"

REPORT_TEXT = f"""\
media 8f3a1c  completed, copy /mnt/a → /mnt/b
  from {WHEN} to {WHEN}
  1,000 entries, 10 GiB done
  rate     85.3 MiB/s on average, 8.3 entries/s; best ten seconds 120 MiB/s
  time     2 min active, 10 s held
  devices  sda (hdd, WDC_1) → unknown, 2 movers
  moved    11 GiB, 3 retried; memory at most 50 MiB
  cpu      21 s of processors
  ETA      8 of 10 forecasts held (the band is meant to hold 80 %)
  score    63 (speed 71, resources 96, success 93): best decile of 5 earlier runs on these devices
  of that  needed 1 min 25 s · movers without work 35 s · held 10 s

RATE BY PERCENT DONE
    10 MiB/s         ▃█
                   ▂▆██
                  ▅████
                ▃ █████
              ▂▆█ █████
       0 B/s ▅███·█████
             0    100 %

WHERE THE TIME WENT: source read bound it
  SHARE  CAUSE
  70.0%  source read
  29.7%  hash

ERRORS
  COUNT  KIND  IN    MESSAGE             NEXT
     12  EIO   copy  input/output error  replace the disk

INTERVENTIONS
  ID   WHAT   BY   AT     {PAD}WHY
  i-1  pause  ana  {WHEN}  lunch

COST
  energy 105 J (modelled: from configured watts of processor)
  wear   10 GiB written to sdb, 0.0500% of its rated endurance (host bytes)
  money  1.23 EUR (prices as of 2026-01-01): transfer 1.23
  not in it: money: no price per kWh is configured

SIMILAR RUNS
  ALIKE  NAME     ID      STATE      ENDED{PAD}  DONE   TOOK        RATE
    81%  earlier  4d2e4d  completed  {WHEN}  9 GiB  1 min 40 s  92.2 MiB/s

ON THESE DEVICES
  average rate sda → sdb: worse (-12.5 % a month over 7 runs, p = 0.012)
  score: unknown (2 executions; 5 are needed)"""

PERIOD_TEXT = f"""\
2 migrations from {WHEN} to {WHEN}: 1 completed, 1 failed
  1,000 entries, 10 GiB done, 3 failed
  2 min active, 10 s held; 11 GiB moved, 3 retried (1 of 2 measured)
  mean score 63

NAME   ID      STATE      STARTED{PAD}  DONE   TOOK        RATE  SCORE  FAILED  BOUND BY
media  8f3a1c  completed  {WHEN}  10 GiB  2 min  85.3 MiB/s     63       0  source read
and 1 more (--limit)

TRENDS
  average rate sda → sdb: worse (-12.5 % a month over 7 runs, p = 0.012)
  score: unknown (2 executions; 5 are needed)

COST
  energy 105 J of 1 migration
  wear   10 GiB written to sdb, 0.0500% of its rated endurance (host bytes)
  money  1.23 EUR (prices as of 2026-01-01): transfer 1.23
  not in it: executions without

DISKS
  ✗ sda: 12 Current_Pending_Sector (critical, since {WHEN})
      attribute 197: 12
      next: replace the disk"""

COMPARISON_TEXT = """\
RATE BY PERCENT DONE, each up to 10 MiB/s
media 8f3a1c
        ▁▃▆█
     ▂ ▆████
  ▂▅▇█·█████
earlier 4d2e4d: nothing is on record of how it went

         media 8f3a1c     earlier 4d2e4d
active          2 min  1 min 30 s -25% ✓
bytes          10 GiB                  —
entries         1,000         250 so far
energy          105 J    7.2 kJ +6757% ✗
✓ better, ✗ worse, = the same as media 8f3a1c"""


def test_a_report_of_one_execution() -> None:
    assert "\n".join(report_lines(REPORT, WIDE)) == REPORT_TEXT


def test_a_report_of_what_was_not_recorded_says_so() -> None:
    assert report_lines(BARE, WIDE)[3:] == [
        "  measured: nothing was recorded of how it went", "", "WHERE THE TIME WENT: not measured",
    ]  # fmt: skip


def test_a_report_of_a_time() -> None:
    assert "\n".join(period_lines(PERIOD, WIDE)) == PERIOD_TEXT
    assert period_lines(NOTHING, WIDE) == [f"0 migrations from {WHEN} to {WHEN}", "", "DISKS", "  nothing was found"]


def test_executions_side_by_side() -> None:
    assert "\n".join(comparison_lines(COMPARISON, WIDE)) == COMPARISON_TEXT


def test_small_amounts_are_not_nothing() -> None:
    assert [amount_text(a) for a in (0.0, 0.001, 0.01, 1234.5)] == ["0.00", "<0.01", "0.01", "1,234.50"]


def with_names(text: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return every view with `text` wherever people or disks may have put one."""
    replace = msgspec.structs.replace
    execution = replace(REPORT.execution, name=text, sources=(text, text), destination=text, why=text)
    changed = replace(REPORT.interventions[0], author=text, reason=text, before=text)
    measured = replace(REPORT.measured, source=replace(REPORT.measured.source, identity=text))  # type: ignore[union-attr, type-var]
    failed = replace(REPORT.errors[0], examples=(text,), message=text)
    one = replace(
        REPORT, execution=execution, interventions=(changed,), errors=(failed,), measured=measured,
        similar=(replace(REPORT.similar[0], name=text),),
    )  # fmt: skip
    found = replace(PERIOD.disks[0], device=text, title=text, evidence=text, action=text)
    row = replace(PERIOD.executions[0], name=text, source=text, target=text)
    all_ = replace(PERIOD, disks=(found,), executions=(row,), trends=(replace(PERIOD.trends[0], name=text),))
    return (
        report_lines(one, 80), period_lines(all_, 80), comparison_lines(replace(COMPARISON, names=(text, text)), 80),
        [report_page(one), period_page(all_)],
    )  # fmt: skip


class Tags(HTMLParser):
    """What tags a page has; text and tags are balanced or it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@given(st.text(max_size=30) | st.sampled_from([HOSTILE, "</style><script>x</script>", "]]>", "<!--", "&lt;"]))
def test_names_stay_text_whatever_they_are(text: str) -> None:
    *shown, pages = with_names(text)
    for lines in shown:
        assert all(line.isprintable() and cells(line) <= 80 for line in lines)
    *_, plain = with_names("x")
    assert [tags(page).found for page in pages] == [tags(page).found for page in plain]


def test_pages_of_nothing_are_whole() -> None:
    for page in (report_page(BARE), period_page(NOTHING)):
        assert "None" not in tags(page).text
        assert page.startswith("<!DOCTYPE html>")


POINTS = st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats(0, 1e12)), max_size=20)


@given(st.lists(POINTS, max_size=5))
def test_curves_stay_in_their_frame_and_gaps_are_gaps(curves: list[list[tuple[float, float | None]]]) -> None:
    lines = [html.Line("x", tuple(points)) for points in curves]
    drawn = html.plot(lines, x_end=(100.0, "100 %"), y_name="high", title="t")
    pieces = [p.split('"')[0].split() for p in drawn.split(' points="')[1:]]
    assert sum(map(len, pieces)) == sum(y is not None for points in curves for _, y in points)
    for piece in pieces:
        for point in piece:
            x, y = map(float, point.split(","))
            assert 84 <= x <= 708
            assert 10 <= y <= 190
    runs = sum(
        y is not None and (i == 0 or points[i - 1][1] is None) for points in curves for i, (_, y) in enumerate(points)
    )
    assert len(pieces) == runs


def test_a_course_without_rates_is_said_to_be_unknown() -> None:
    view = msgspec.structs.replace(REPORT, course=Curve("x", ()))
    assert "RATE BY PERCENT DONE: unknown" in report_lines(view, WIDE)
    assert finding_lines(()) == ["nothing was found"]
    tags(report_page(view))
