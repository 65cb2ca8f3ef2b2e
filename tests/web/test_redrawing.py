"""What is drawn anew when figures come: what has changed, and nothing of a page that nobody sees."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon import ROOT
from dashboard import MIB, Site, Window
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., Window]
FEED = ROOT / "scripts" / "web_cost.js"
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Pages without a screen are always shown: this is what a page of a hidden tab is told."""


@pytest.fixture(scope="module")
def slow(site: Site) -> str:
    return site.migrate("archive", io=MIB // 2, large=60)


def test_an_update_that_changes_one_row_touches_one_row(site: Site, slow: str, window: Open) -> None:
    one = window()
    one.sign_in()
    one.context.add_init_script(path=FEED)
    page = one.open("/")
    page.evaluate(
        "([like, count]) => window.feed.show(like, count)", [json.loads(msgspec.json.encode(site.view(slow))), 20]
    )
    page.get_by_role("heading", name="Active migrations (20)").wait_for()
    touched = page.evaluate("""async () => {
      const rows = document.querySelectorAll("table[aria-label='Active migrations'] tbody tr"), found = [];
      const look = (changes) => changes.forEach((c) => found.push({
        row: [...rows].findIndex((r) => r.contains(c.target)), type: c.type,
        cell: c.target.parentElement?.closest("td")?.dataset.label,
      }));
      const seen = new MutationObserver(look);
      seen.observe(rows[0].parentElement, { subtree: true, childList: true, attributes: true, characterData: true });
      await window.feed.run(1, 0, 7);
      look(seen.takeRecords());
      return found;
    }""")
    assert {t["row"] for t in touched} == {7}
    assert {t["cell"] for t in touched} == {"Progress", "Rate", "ETA (80 %)", "Entries"}
    assert "childList" not in {t["type"] for t in touched}


# --- tables -----------------------------------------------------------------------------------------

TABLE = """async () => {
  const { html, render } = await import("/js/lib.js"), { Table } = await import("/js/parts.js");
  const box = document.body.appendChild(document.createElement("div"));
  let drawn = [], marked = [];
  const told = (name, row) => { drawn.push(`${name} ${row.id}`); return row[name]; };
  const columns = [
    { name: "name", by: (r) => r.name, cell: (r) => html`<b>${told("name", r)}</b>` },
    { name: "rate", num: true, cell: (r) => told("rate", r) },
    { name: "parts", cell: (r) => html`<i>${told("parts", r).join("+")}</i>` },
    { name: "mark", by: (r) => marked.includes(r.id), cell: (r) => html`<u>${marked.includes(r.id) ? "x" : ""}</u>` },
  ];
  window.tables = {
    /** Draw a table; returns what its cells say, and which were drawn for it. */
    draw(rows, marks) {
      drawn = []; marked = marks;
      const also = (r) => marks.includes(r.id);
      render(html`<${Table} label="tried" rows=${rows} keyOf=${(r) => r.id} also=${also} columns=${columns} />`, box);
      const said = [...box.querySelectorAll("tbody tr")].map((r) => [...r.cells].map((c) => c.textContent));
      return { said, drawn };
    },
    clear() { render(null, box); },
  };
}"""


@pytest.fixture(scope="module")
def tables(browser_process: Browser, site: Site) -> Iterator[Page]:
    one = Window(browser_process, site)
    one.sign_in()
    one.page.evaluate(TABLE)
    yield one.page
    one.close()
    assert one.complaints == []


def row(number: int, name: str, rate: int, parts: list[int]) -> dict[str, Any]:
    return {"id": number, "name": name, "rate": rate, "parts": parts}


def draw(page: Page, rows: list[dict[str, Any]], marks: tuple[int, ...] = ()) -> tuple[list[list[str]], list[str]]:
    found = page.evaluate("([rows, marks]) => window.tables.draw(rows, marks)", [rows, list(marks)])
    return found["said"], found["drawn"]


def test_cells_are_drawn_when_what_they_show_has_changed(tables: Page) -> None:
    first = [row(1, "a", 5, [1, 2]), row(2, "b", 6, [])]
    draw(tables, [])
    assert draw(tables, first)[1] == ["name 1", "rate 1", "parts 1", "name 2", "rate 2", "parts 2"]
    assert draw(tables, [row(1, "a", 5, [1, 2]), row(2, "b", 6, [])])[1] == []
    assert draw(tables, [row(2, "b", 6, []), row(1, "a", 5, [1, 2])])[1] == []
    assert draw(tables, [row(1, "a", 7, [1, 2]), row(2, "b", 6, [])])[1] == ["rate 1", "parts 1"]
    assert draw(tables, [row(1, "c", 7, [1, 2]), row(2, "b", 6, [])])[1] == ["name 1", "rate 1", "parts 1"]
    said, drawn = draw(tables, [row(1, "c", 7, [1, 2]), row(2, "b", 6, [])], (2,))
    assert drawn == ["rate 2", "parts 2"]
    assert [cells[3] for cells in said] == ["", "x"]


ROWS = st.lists(
    st.builds(
        row, st.integers(0, 4), st.sampled_from("ab"), st.integers(0, 2), st.lists(st.integers(0, 1), max_size=2)
    ),
    max_size=5,
    unique_by=lambda r: r["id"],
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ROWS, st.sets(st.integers(0, 4))), min_size=1, max_size=8))
def test_a_table_always_says_what_its_newest_rows_say(
    tables: Page, rounds: list[tuple[list[dict[str, Any]], set[int]]]
) -> None:
    for rows, marks in rounds:
        expected = [
            [r["name"], str(r["rate"]), "+".join(map(str, r["parts"])), "x" if r["id"] in marks else ""] for r in rows
        ]
        assert draw(tables, rows, tuple(marks))[0] == expected
    tables.evaluate("() => window.tables.clear()")


# --- tabs that nobody sees ----------------------------------------------------------------------------


def test_a_page_that_nobody_sees_asks_for_nothing_and_begins_anew_when_it_is_seen(
    site: Site, slow: str, window: Open
) -> None:
    one = window()
    page = one.page
    page.clock.install()
    asked: list[str] = []
    sockets: list[Any] = []
    page.on("request", lambda r: asked.append(r.url))
    page.on("websocket", lambda s: sockets.append(s))
    one.sign_in()
    page.get_by_text("Live", exact=True).wait_for()
    until(lambda: page.locator("figure canvas").count() == 4)
    page.evaluate(HIDE, True)
    page.clock.run_for(15_000)
    until(lambda: page.title() and sockets[-1].is_closed())  # what a page tells is heard while it is asked something
    asked.clear()
    page.clock.run_for(60_000)
    assert asked == []
    missed = site.migrate("begun while nobody looked", io=MIB // 2, large=20)
    page.evaluate(HIDE, False)
    page.get_by_text("Live", exact=True).wait_for()
    page.get_by_role("link", name="begun while nobody looked").wait_for()
    assert len(sockets) == 2
    until(lambda: page.title() and any("/dashboard" in url for url in asked))
    site.daemon.migmon("cancel", missed, "-y")


def test_charts_out_of_sight_are_not_looked_at_anew(site: Site, slow: str, window: Open) -> None:
    one = window(width=390)
    page = one.page
    asked: list[str] = []
    page.on("request", lambda r: asked.append(re.sub(r".*/|(?<=history)[?].*", "", r.url)))
    one.sign_in()
    until(lambda: page.locator("figure canvas").count() == 4)
    page.evaluate("() => { document.querySelector('h1').style.paddingBottom = '3000px'; scrollTo(0, 0); }")
    until(lambda: page.title() and asked[-3:] == ["dashboard?executions=false"] * 3, timeout_s=20)
    before = asked.count("history")
    page.locator("figure").first.scroll_into_view_if_needed()
    until(lambda: page.title() and asked.count("history") > before)


# --- what is forgotten --------------------------------------------------------------------------------


def test_what_is_forgotten_goes_from_every_page_at_once(site: Site, window: Open) -> None:
    ids = [site.migrate(f"old {k}", io=None, small=4) for k in range(3)]
    until(lambda: all(site.view(id_).state == "completed" for id_ in ids))
    overview, history, compared = (window().sign_in(path) for path in (
        "/", f"/history?pick={ids[0]},{ids[1]}", f"/history?compare={','.join(ids)}",
    ))  # fmt: skip
    own = window()
    page = own.sign_in(f"/migrations/{ids[0]}")
    for shown in (overview, history):
        shown.get_by_role("link", name="old 0").wait_for()
    history.get_by_role("button", name="Compare 2").wait_for()
    compared.get_by_role("heading", name="3 migrations compared").wait_for()
    page.get_by_role("heading", name="old 0").wait_for()
    site.daemon.migmon("forget", ids[0], "-y")
    for shown in (overview, history):
        shown.get_by_role("link", name="old 0").wait_for(state="detached")
        assert shown.get_by_role("link", name="old 1").is_visible()
    assert history.get_by_role("button", name="Compare 1").is_disabled()
    compared.get_by_role("heading", name="2 migrations compared").wait_for()
    compared.locator(".toast").filter(has_text="old 0 was forgotten").wait_for()
    assert ids[0] not in compared.url
    page.get_by_role("alert").filter(has_text="It was forgotten").wait_for()
    own.complaints[:] = [c for c in own.complaints if "status of 404" not in c]  # what was asked at that moment
    site.daemon.migmon("forget", ids[1], "-y")
    compared.get_by_role("heading", name="History").wait_for()
