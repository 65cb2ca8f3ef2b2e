"""The dashboard in Debian's Chromium, before the real gateway, daemon and migrations that last."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dashboard import HOSTILE, MIB, PASSWORD, Site, Window
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request, Route

Open = Callable[..., Window]


@pytest.fixture(scope="module")
def slow(site: Site) -> str:
    """A migration that lasts as long as these tests do."""
    return site.migrate("media archive", io=MIB // 4, large=160)


@pytest.fixture
def running(site: Site, slow: str) -> Iterator[str]:
    """The same, as it was before when the test ends."""
    yield slow
    site.daemon.migmon("resume", "media archive", check=False)


def toast(page: Page, text: str) -> None:
    page.locator(".toast").filter(has_text=text).first.wait_for()


def test_a_link_signs_in_and_nothing_of_it_stays_in_the_address(site: Site, window: Open) -> None:
    page = window().sign_in()
    assert page.url == site.gateway.origin + "/"
    page.get_by_role("heading", name="Overview").wait_for()
    assert page.get_by_role("link", name=f"{site.user} (admin)").is_visible()


def test_a_link_signs_in_where_the_page_is_open_already(site: Site, window: Open) -> None:
    one = window()
    one.page.goto(site.gateway.origin)
    one.page.get_by_role("heading", name="Sign in to migmond").wait_for()
    one.sign_in()


def test_who_comes_from_another_machine_is_told_the_command_that_leads_back(site: Site, window: Open) -> None:
    """`migmon dash` made a link to 127.0.0.1, where nobody else's browser finds anything."""
    one = window()
    one.page.goto(site.gateway.origin)
    one.page.get_by_text("migmon dash", exact=True).wait_for()

    def passed_on(route: Route, request: Request) -> None:
        """As a proxy does."""
        connection = http.client.HTTPConnection(site.gateway.origin.removeprefix("http://"))
        connection.request("GET", request.url.removeprefix("http://nas.example"))
        answer = connection.getresponse()
        route.fulfill(status=answer.status, headers=dict(answer.getheaders()), body=answer.read())
        connection.close()

    one.context.route("http://nas.example/**", passed_on)
    one.page.goto("http://nas.example/")
    one.page.get_by_text("migmon dash --print --url http://nas.example", exact=True).wait_for()
    one.context.unroute_all(behavior="wait")
    one.complaints[:] = [c for c in one.complaints if "status of 401" not in c and "untrustworthy" not in c]


def test_a_password_signs_in_and_a_wrong_one_says_so(site: Site, window: Open) -> None:
    one = window()
    page = one.page
    page.goto(site.gateway.origin)
    page.get_by_label("User").fill(site.user)
    page.get_by_label("Password").fill("wrong")
    page.get_by_label("Password").press("Enter")
    page.get_by_role("alert").filter(has_text="name or password is wrong").wait_for()
    assert one.faults() == []
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    # A browser logs every answer that is no success.
    assert [c for c in one.complaints if not re.search(r"status of 40[13]", c)] == []
    one.complaints.clear()


def test_sessions_are_listed_and_signed_out_also_from_afar(site: Site, window: Open) -> None:
    one, other = window(), window()
    page = one.sign_in("/sessions")
    other.sign_in()
    page.reload()
    rows = page.get_by_role("table", name="Sessions").get_by_role("row")
    rows.filter(has_text="this one").wait_for()
    assert one.faults() == []
    before = rows.count()
    page.get_by_role("table", name="Sessions").locator("tr").filter(has_not_text="this one").get_by_role(
        "button"
    ).first.click()
    toast(page, "was signed out")
    page.mouse.move(5, 5)
    until(lambda: rows.count() == before - 1)
    page.get_by_role("button", name="Sign out").first.click()
    page.get_by_role("heading", name="Sign in to migmond").wait_for()
    page.goto(site.gateway.origin)
    page.get_by_role("heading", name="Sign in to migmond").wait_for()
    for w in (one, other):
        w.complaints[:] = [c for c in w.complaints if "status of 401" not in c]


def test_a_migration_is_checked_and_started_from_the_page(site: Site, window: Open, tmp_path: Path) -> None:
    one = window()
    page = one.sign_in("/start")
    page.get_by_label("From").fill(str(site.source("started here", large=4)))
    page.get_by_label(re.compile("^To ")).fill(str(tmp_path / "there"))
    page.get_by_label("Name (optional)").fill("started here")
    page.get_by_label("I/O limit").fill("1")
    page.get_by_role("button", name="Check").click()
    page.get_by_text("feasible", exact=True).wait_for()
    assert one.faults() == []
    assert not (tmp_path / "there").exists()
    page.get_by_role("button", name="Start it").click()
    page.get_by_role("heading", name="started here").wait_for()
    page.get_by_text("completed", exact=True).first.wait_for(timeout=30_000)
    assert (tmp_path / "there" / HOSTILE).stat().st_size == 4 * MIB


def test_a_migration_is_watched(site: Site, window: Open, running: str) -> None:
    page = window().sign_in()
    row = page.get_by_role("table", name="Active migrations").get_by_role("row").filter(has_text="media archive")
    bar = row.get_by_role("progressbar")
    first = float(bar.get_attribute("value") or 0)
    until(lambda: float(bar.get_attribute("value") or 0) > first)
    row.get_by_role("link", name="media archive").click()
    page.get_by_role("heading", name="media archive").wait_for()
    assert page.url == f"{site.gateway.origin}/migrations/{running}"
    page.get_by_role("table", name="Large files").get_by_text("onerror=alert(1)").wait_for()
    page.get_by_role("img", name=re.compile("Timeline: .*Copy since")).wait_for()
    page.get_by_role("button", name="All", exact=True).first.click()
    assert "chart=all" in page.url
    until(lambda: page.locator("figure canvas").count() == 6)
    page.locator("figure").first.get_by_role("button", name="Table").click()
    page.get_by_role("table", name="Throughput").get_by_text("KiB/s").first.wait_for()


def test_pausing_applies_at_once_and_undo_takes_it_back(site: Site, window: Open, running: str) -> None:
    page = window().sign_in(f"/migrations/{running}")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Resume").wait_for()
    assert site.view(running).state == "paused"
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    until(lambda: site.view(running).state == "running")


def test_a_throttle_shows_its_effect_before_it_is_applied_and_is_reverted(
    site: Site, window: Open, running: str
) -> None:
    one = window()
    page = one.sign_in(f"/migrations/{running}")
    page.get_by_role("button", name="Intervene…").click()
    dialog = page.get_by_role("dialog", name="Intervene in media archive")
    assert dialog.get_by_role("button", name="Apply").is_disabled()
    dialog.get_by_label("I/O limit").fill("0.25")
    dialog.get_by_label("Reason").fill("others want the disk")
    effect = dialog.get_by_role("status")
    effect.filter(has_text="256 KiB/s").wait_for()
    assert "done in" in effect.inner_text()
    assert one.faults() == []
    assert [c for c in site.view(running).changes if c.type == "throttle"] == []
    dialog.get_by_role("button", name="Apply").click()
    toast(page, "256 KiB/s")
    row = page.get_by_role("table", name="Interventions").get_by_role("row").filter(has_text="others want the disk")
    row.get_by_role("button", name="Revert").click()
    toast(page, "was taken back")
    until(lambda: row.get_by_role("button", name="Revert").count() == 0)
    assert one.faults() == []


def test_files_are_skipped_once_their_number_is_told(site: Site, window: Open) -> None:
    id_ = site.migrate("skipped", io=MIB // 4, small=2000)
    page = window().sign_in(f"/migrations/{id_}")
    page.get_by_role("button", name="Intervene…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="Skip some files").check()
    dialog.get_by_label("Patterns").fill("*.zip")
    dialog.get_by_role("status").filter(has_text=re.compile(r"\d entries, .* pending → skipped")).wait_for()
    assert site.view(id_).changes == ()
    dialog.get_by_role("button", name="Apply").click()
    toast(page, "pending → skipped")
    assert [c.what for c in site.view(id_).changes] == ["skip '*.zip'"]
    site.daemon.migmon("cancel", "skipped", "-y")


def test_a_large_file_on_its_way_is_skipped_and_nothing_of_it_stays(site: Site, window: Open) -> None:
    id_ = site.migrate("with a film", io=MIB, large=200)
    one = window()
    page = one.sign_in(f"/migrations/{id_}")
    row = page.get_by_role("table", name="Large files").get_by_role("row").filter(has_text="onerror=alert(1)")
    row.get_by_text(re.compile("% of 200 MiB")).wait_for()
    assert one.faults() == []
    row.get_by_role("button", name=re.compile("^Skip ")).click()
    toast(page, "→ skipped")
    until(lambda: site.view(id_).state == "completed")
    assert site.view(id_).progress.skipped.entries == 1
    page.mouse.move(5, 5)
    until(lambda: page.get_by_role("button", name=re.compile("^Skip <img")).count() == 0)
    target = site.home / "targets" / "with a film"
    assert sorted(p.name for p in target.iterdir()) == [f"album {i}" for i in range(4)]


def test_several_are_paused_with_one_reason(site: Site, window: Open, running: str) -> None:
    other = site.migrate("second", io=MIB // 2, large=60)
    one = window()
    page = one.sign_in()
    page.get_by_role("checkbox", name="Pick second").check()
    page.get_by_role("checkbox", name="Pick media archive").check()
    page.get_by_role("button", name="Pause…").click()
    dialog = page.get_by_role("dialog", name="Pause 2 migrations")
    dialog.get_by_label("Reason").fill("maintenance")
    assert one.faults() == []
    dialog.get_by_role("button", name="Pause all").click()
    until(lambda: all(site.view(i).state == "paused" for i in (running, other)))
    assert "maintenance" in site.daemon.migmon("interventions", "second").stdout
    page.locator(".toast").get_by_role("button", name="Undo").click()
    until(lambda: all(site.view(i).state == "running" for i in (running, other)))
    site.daemon.migmon("cancel", "second", "-y")


def test_an_alert_is_on_the_overview_until_somebody_sees_to_it(site: Site, window: Open, running: str) -> None:
    one = window()
    page = one.sign_in()
    site.rule("sluggish")
    panel = page.get_by_role("region", name="Needs attention")
    alert = panel.get_by_role("row").filter(has_text="media archive: It is slower than people wish")
    alert.wait_for()
    assert one.faults() == []
    alert.get_by_role("button", name="Acknowledge").click()
    page.mouse.move(5, 5)
    alert.wait_for(state="detached")
    assert site.user in site.daemon.migmon("--json", "alerts").stdout
    site.daemon.migmon("rules", "rm", "sluggish", "-y", check=False)


def test_rows_keep_their_places_under_the_pointer(site: Site, window: Open, running: str) -> None:
    page = window().sign_in()
    table = page.get_by_role("table", name="Active migrations")
    both = ("media archive", "zz late")

    def names() -> list[str]:
        return [n for n in table.locator("td.name a").all_inner_texts() if n in both]

    site.migrate("zz late", io=MIB // 4, large=30)
    until(lambda: names() == ["media archive", "zz late"])
    table.get_by_role("link", name="zz late").hover()
    site.daemon.migmon("pause", "zz late")  # a paused one is worse: it belongs above
    table.get_by_text("paused").first.wait_for()
    assert names() == ["media archive", "zz late"]
    site.daemon.migmon("cancel", "zz late", "-y")
    table.locator("tr.gone").wait_for()
    assert names() == ["media archive", "zz late"]
    page.mouse.move(5, 5)
    until(lambda: names() == ["media archive"])
