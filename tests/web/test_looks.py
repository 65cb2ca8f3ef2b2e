"""Every page in both themes and three widths: axe's rules, geometry, and all of it by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from dashboard import MIB, SIZES, Site, Window
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., Window]


@pytest.fixture(scope="module")
def ids(site: Site) -> dict[str, str]:
    """One migration that lasts, one that is paused, one that has ended, one that failed; and an alert that fires."""
    made = {
        "running": site.migrate("media archive with a name that is longer than others are", io=MIB // 4, large=90),
        "paused": site.migrate("second", io=MIB // 2, large=10),
        "ended": site.migrate("notes", io=None),
    }
    site.daemon.migmon("pause", "second", "--reason", "the disk is needed by others until noon")
    target = site.home / "targets" / "failing"
    target.mkdir(parents=True)
    for folder in range(4):
        (target / f"album {folder}").write_text("a file is where a directory has to be")
    made["failed"] = site.migrate("failing", io=None)
    site.rule("sluggish")
    return made


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_no_page_has_a_fault(site: Site, window: Open, ids: dict[str, str], width: int, scheme: str) -> None:
    one = window(width=width, scheme=scheme)
    page = one.sign_in()
    page.get_by_role("table", name="Alerts").wait_for()
    page.get_by_role("link", name="notes").wait_for()
    found = {"/": one.faults()}
    paths = [f"/migrations/{ids['running']}?chart=all", f"/migrations/{ids['failed']}", "/start"]
    if width != 1024:  # what fits the widest and the narrowest window
        paths += ["/history", f"/history?compare={ids['ended']},{ids['running']}", "/reports", "/sessions",
                  f"/migrations/{ids['paused']}", f"/migrations/{ids['ended']}",
                  "/migrations/none", "/no/such/page"]  # fmt: skip
    for path in paths:
        one.open(path)
        found[path] = one.faults()
    one.complaints[:] = [c for c in one.complaints if "status of 404" not in c]  # of the migration that is not there
    assert {path: faults for path, faults in found.items() if faults} == {}


@pytest.mark.parametrize("kind", ["Limit speed", "Priority", "Order of", "Pause some", "Skip some", "Batch"])
def test_no_form_of_the_dialog_has_a_fault(site: Site, window: Open, ids: dict[str, str], kind: str) -> None:
    one = window(width=390, scheme="dark")
    page = one.sign_in(f"/migrations/{ids['running']}")
    page.get_by_role("button", name="Intervene…").click()
    page.get_by_role("radio", name=kind).check()
    assert one.faults() == []


def focused(page: Page) -> str:
    return str(
        page.evaluate(
            "() => (document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim()"
        )
    )


def test_a_dialog_keeps_the_focus_and_gives_it_back(site: Site, window: Open, ids: dict[str, str]) -> None:
    page = window().sign_in(f"/migrations/{ids['running']}")
    opener = page.get_by_role("button", name="Intervene…")
    until(opener.is_enabled)
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        # Between the last element and the first one the focus is with the browser's own window.
        assert page.evaluate(
            "() => document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    until(lambda: focused(page) == "Intervene…")
    page.get_by_role("button", name="Cancel…").focus()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Keep it").press("Enter")
    dialog.wait_for(state="detached")
    assert focused(page) == "Cancel…"


def test_everything_is_reached_by_tab_in_the_order_in_which_it_is_seen(
    site: Site, window: Open, ids: dict[str, str]
) -> None:
    page = window().sign_in()
    page.get_by_role("table", name="Alerts").wait_for()
    page.get_by_role("button", name="Table").first.wait_for()
    page.locator("body").focus()
    seen = []
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.append(focused(page))
        if "notes" in seen:
            break
        assert page.evaluate(
            "() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && s.outlineWidth !== '0px'; }"  # noqa: E501
        ), seen[-1]
    expected = ["Skip to the page", "Overview", "Theme: auto", "Sign out", "Acknowledge sluggish", "Resume", "Intervene…", "15 min", "Table", "notes"]  # fmt: skip  # noqa: E501
    assert seen[0] == "Skip to the page"
    places = [seen.index(name) for name in expected]
    assert places == sorted(places)


def test_a_migration_is_throttled_by_keyboard_alone(site: Site, window: Open, ids: dict[str, str]) -> None:
    page = window().sign_in(f"/migrations/{ids['running']}")
    opener = page.get_by_role("button", name="Intervene…")
    until(opener.is_enabled)  # it is once the page is live: until then it takes no focus
    opener.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # at once, to the first field: whoever types fast loses no key
    page.keyboard.type("0.25")
    assert page.get_by_label("I/O limit").input_value() == "0.25"
    page.get_by_role("status").filter(has_text="256 KiB/s").wait_for()
    page.keyboard.press("Enter")
    page.locator(".toast").get_by_role("button", name="Undo").press("Enter")
    page.locator(".toast").filter(has_text="taken back").wait_for()


def test_the_theme_is_chosen_and_kept(site: Site, window: Open) -> None:
    page = window(scheme="light").sign_in()

    def back() -> str:
        return str(page.evaluate("() => getComputedStyle(document.body).backgroundColor"))

    light = back()
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    dark = back()
    assert dark != light
    page.reload()
    page.get_by_role("button", name="Theme: dark").wait_for()
    assert back() == dark
