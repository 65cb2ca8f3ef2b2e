"""What a page loads, and when: the first figures wait for nothing that somebody may never want."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from dashboard import MIB, Site, Window
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., Window]
NEVER_AT_FIRST = {
    "signin.js", "forms.js", "browse.js", "migration.js", "history.js", "alerts.js", "rules.js", "dashboards.js",
    "reports.js", "start.js", "sessions.js", "paging.js", "ending.js", "remarks.js", "runcharts.js",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def running(site: Site) -> str:
    """A migration that can be steered."""
    return site.migrate("loading", io=MIB // 2, large=40)


def told(page: Page) -> set[str]:
    """Return the names of the files that are loaded from now on; it grows."""
    files: set[str] = set()
    page.on("request", lambda r: files.add(urlsplit(r.url).path.rpartition("/")[2]))
    return files


def test_the_overview_loads_what_it_shows(window: Open) -> None:
    one = window()
    one.sign_in()
    page = one.context.new_page()
    files = told(page)
    page.goto(one.site.gateway.origin)
    page.wait_for_function("() => document.querySelectorAll('figure canvas').length === 4")
    assert {"overview.js", "controls.js", "chart.js", "uplot.js"} <= files
    assert not files & NEVER_AT_FIRST
    page.get_by_role("button", name="Intervene…").focus()  # by then somebody is about to want what it opens
    until(lambda: "forms.js" in files)
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_label("I/O limit").fill("0.25")
    page.get_by_role("status").filter(has_text="256 KiB/s").wait_for()


def test_a_dialog_whose_form_is_on_its_way_is_there_and_says_so(window: Open) -> None:
    one = window()
    page = one.sign_in()
    held: list[Callable[[], None]] = []
    page.route("**/forms.js", lambda route: held.append(route.continue_))
    opener = page.get_by_role("button", name="Intervene…")
    until(opener.is_enabled)
    opener.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Loading …").wait_for()
    until(lambda: bool(held))
    held[0]()
    dialog.get_by_label("I/O limit").wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    until(lambda: bool(page.evaluate("() => document.activeElement.textContent === 'Intervene…'")))


def test_the_page_of_a_migration_has_its_forms_before_anybody_opens_one(window: Open, running: str) -> None:
    one = window()
    one.sign_in()
    page = one.context.new_page()
    files = told(page)
    page.goto(f"{one.site.gateway.origin}/migrations/{running}")
    opener = page.get_by_role("button", name="Intervene…")
    until(opener.is_enabled)
    assert "forms.js" in files
    assert not files & {"history.js", "signin.js"}


def test_the_history_loads_nothing_of_one_migration(window: Open) -> None:
    one = window()
    one.sign_in()
    page = one.context.new_page()
    files = told(page)
    page.goto(f"{one.site.gateway.origin}/history")
    page.get_by_role("table", name="Migrations").wait_for()
    assert {"history.js", "paging.js"} <= files
    assert not files & {"migration.js", "forms.js", "remarks.js", "phases.js"}


def test_who_is_not_signed_in_loads_the_page_to_sign_in(window: Open) -> None:
    one = window()
    files = told(one.page)
    one.page.goto(one.site.gateway.origin)
    one.page.get_by_role("heading", name="Sign in to migmond").wait_for()
    assert "signin.js" in files
    one.complaints[:] = [c for c in one.complaints if "status of 401" not in c]
