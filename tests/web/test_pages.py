"""The pages of alerts, dashboards, reports and comparison, in a browser before a gateway and a daemon."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dashboard import MIB, Site, Window
from migmond.client.sync import Client
from migmond.domain import alert_api as a
from migmond.domain import api
from migmond.domain.alert import Condition, Operator
from migmond.domain.units import show_size
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Open = Callable[..., Window]
HOSTILE = "<img src=x onerror=alert(1)>&\"'"
"""As far as the name of a migration may be."""


@pytest.fixture(scope="module", autouse=True)
def ended(site: Site) -> tuple[str, ...]:
    """Two migrations to look back at."""
    ids = tuple(site.migrate(name, io=None, small=20) for name in ("first", HOSTILE))
    until(lambda: all(site.view(id_).state == "completed" for id_ in ids))
    return ids


@pytest.fixture(scope="module", autouse=True)
def lasting(site: Site) -> str:
    """One that has gone on for a while when the last test looks back at it: a week is looked at in steps of 40 s."""
    return site.migrate("tried upon", io=MIB, large=55)


def write_rule(page: Page, name: str, metric: str, threshold: str) -> None:
    page.get_by_role("button", name="New rule…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_label("Metric", exact=True).fill(metric)
    dialog.get_by_label("Comparison").select_option(">")
    dialog.get_by_label("Aggregation").select_option("last")
    dialog.get_by_label("Threshold").fill(threshold)
    dialog.get_by_label("For seconds").fill("0")


def test_what_the_target_had_already_is_there(site: Site, window: Open) -> None:
    """A second run that finds all of it was `100 %`, `0 B of 117 KiB`, `5 of 25 entries`, and 0 % of every type."""
    source, target = (str(site.home / below / "first") for below in ("sources", "targets"))
    site.daemon.migmon("run", source, target, "--name", "once more")
    with Client(site.daemon.socket) as client:
        view = client.call("execution.get", api.GetParams("once more"), api.ExecutionView)
    assert view.progress.skipped.bytes == view.progress.planned.bytes > 0
    page = window().sign_in(f"/migrations/{view.id}")
    progress = page.get_by_role("region", name="Progress")
    progress.get_by_text("25 of 25 entries").wait_for()
    size = show_size(view.progress.planned.bytes)
    assert f"{size} of {size}" in progress.inner_text()
    page.get_by_role("table", name="Progress by type").get_by_role("row").nth(1).wait_for()
    shares = page.get_by_role("table", name="Progress by type").locator("td.full .sub").all_inner_texts()
    assert [share.split(" of ")[0] for share in shares] == ["100 %"] * 5


def test_the_charts_of_a_migration_begin_where_it_began(site: Site, window: Open, lasting: str) -> None:
    """Of the quarter of an hour before nothing was there but empty grid."""
    one = window()
    spans: list[int] = []
    one.page.on("request", lambda r: spans.extend(int(s) for s in re.findall(r"history[?].*span=(\d+)s", r.url)))
    page = one.sign_in(f"/migrations/{lasting}")
    until(lambda: page.title() and len(spans) > 1)
    began = datetime.fromisoformat(site.view(lasting).started_at or "")
    age = (datetime.now(UTC) - began).total_seconds()
    assert all(60 <= span <= max(60, age + 6) for span in spans)


def test_temperatures_of_disks_are_drawn_where_any_disk_tells(window: Open) -> None:
    one = window()

    def with_temperatures(route: Route) -> None:
        """What the history answers where disks tell: none does on the machines of these tests."""
        answer = route.fetch()
        found = answer.json()
        for disk, degrees in (("sdb", 41.0), ("sda", 50.0)):
            values = [None] * (found["points"] - 2) + [degrees, degrees]
            found["series"].insert(0, {
                "metric": "migmond_disk_temperature_celsius", "labels": {"device": disk}, "unit": "celsius",
                "kind": "gauge", "mean": values, "low": values, "high": values,
            })  # fmt: skip
        route.fulfill(response=answer, json=found)

    one.context.route("**/history?*", with_temperatures)
    page = one.sign_in("/")
    page.get_by_role("img", name=re.compile("^Device temperatures: sda 50 °C, sdb 41 °C[.]")).wait_for()
    page.get_by_role("img", name=re.compile("^Throughput: Read ")).wait_for()
    assert one.faults() == []


def test_a_dark_report_is_printed_on_white(window: Open) -> None:
    """Browsers leave backgrounds out: what was printed was light grey on nothing, with all buttons."""
    page = window(scheme="dark").sign_in("/reports")
    page.get_by_role("table", name="Migrations").wait_for()
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("() => getComputedStyle(document.body).color") == "rgb(20, 24, 29)"
    assert [b for b in page.locator("button, .button, nav").all() if b.is_visible()] == []
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen", color_scheme="dark")
    assert page.evaluate("() => getComputedStyle(document.body).color") == "rgb(232, 234, 237)"


def test_a_verification_says_what_it_found(site: Site, window: Open) -> None:
    id_ = site.migrate("verified", io=None, small=8)
    until(lambda: site.view(id_).state == "completed")
    one = window()
    page = one.sign_in(f"/migrations/{id_}")
    page.get_by_role("button", name="Verify").click()
    page.get_by_text(re.compile("^verified .* re-read, all as they were written$")).wait_for()
    assert one.faults() == []
    bad = next((site.home / "targets" / "verified").rglob("*.zip"))
    bad.write_bytes(bytes(bad.stat().st_size))
    page.get_by_role("button", name="Verify").click()
    page.get_by_text(re.compile("^verified .*, 1 DIFFERENCE")).wait_for()
    page.locator(".note.critical").filter(has_text=bad.name).wait_for()
    assert one.faults() == []


def test_a_rule_is_tried_made_fires_and_is_acknowledged(window: Open) -> None:
    page = window().sign_in("/alerts")
    write_rule(page, "much-memory", "migmond_memory_used_bytes", "1 MiB")
    page.get_by_label("What is wrong then, and what to do").fill(HOSTILE)
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("× in the last 7 days").wait_for()
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    alerts = page.get_by_role("table", name="Alerts")
    alerts.get_by_text(HOSTILE).first.wait_for(timeout=30_000)
    page.get_by_role("link", name="Alerts (1)").wait_for()
    page.get_by_role("button", name="Acknowledge…").click()
    dialog.get_by_label("Note for others").fill("seen")
    dialog.get_by_role("button", name="Acknowledge").click()
    alerts.get_by_text("seen").wait_for()
    page.get_by_role("button", name="Disable much-memory").click()
    page.get_by_role("button", name="Enable much-memory").click()
    page.get_by_role("button", name="Disable much-memory").wait_for()
    assert page.get_by_text("undefined").count() == 0
    page.get_by_role("button", name="Remove much-memory").click()
    dialog.get_by_role("button", name="Remove").click()
    page.get_by_role("heading", name="Alerts").first.click()  # rows under the pointer or the focus keep their places
    page.get_by_role("button", name="Remove much-memory").wait_for(state="detached")


def test_a_rule_that_nothing_meets_would_not_have_fired(window: Open) -> None:
    page = window().sign_in("/alerts")
    write_rule(page, "never", "migmond_memory_used_bytes", "900 TiB")
    page.get_by_text("Would have fired 0× in the last 7 days").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")


def test_a_dashboard_is_made_saved_and_there_after_a_reload(window: Open, tmp_path: Path) -> None:
    page = window().sign_in("/dashboards")
    page.get_by_role("button", name="New").click()
    page.get_by_label("Name", exact=True).fill("mine")
    for kind, title in (("chart", HOSTILE), ("tile", "Memory"), ("timeline", "Events"), ("table", "Running")):
        page.get_by_role("button", name="Add a panel…").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Kind").select_option(kind)
        dialog.get_by_label("Title").fill(title)
        if kind in {"chart", "tile"}:
            dialog.get_by_label("Metrics, one a line").fill("migmond_memory_used_bytes")
        dialog.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Move Memory earlier").press("Enter")
    page.get_by_role("button", name="Make Memory wider").press("Enter")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Edit", exact=True).wait_for()
    page.reload()
    titles = page.locator(".board > section")
    until(lambda: titles.count() == 4)
    assert [t.get_attribute("aria-label") for t in titles.all()] == ["Memory", HOSTILE, "Events", "Running"]
    assert "w2" in (titles.first.get_attribute("class") or "")
    assert "name=mine" in page.url
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    kept = json.loads(Path(download.value.path()).read_text())
    assert [p["title"] for p in kept["panels"]] == ["Memory", HOSTILE, "Events", "Running"]
    kept["name"] = "brought"
    (tmp_path / "brought.json").write_text(json.dumps(kept))
    page.get_by_label("Dashboard to import").set_input_files(tmp_path / "brought.json")
    page.get_by_role("button", name="Save").click()
    until(lambda: page.get_by_label("Shown").input_value() == "brought")


@pytest.mark.parametrize("name", ["disks/night", "..", "a?b#c"])
def test_a_dashboard_of_any_name_is_removed_and_comes_back(window: Open, name: str) -> None:
    """A slash in its name kept it for ever: the path that removed it was another one."""
    page = window().sign_in("/dashboards")
    page.get_by_role("button", name="New").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Save").click()
    toasts = page.locator(".toasts")
    toasts.get_by_text(f"{name} is saved").wait_for()
    for _ in range(2):
        page.get_by_role("button", name="Remove…").click()
        page.get_by_role("dialog", name=f"Remove {name}?").get_by_role("button", name="Remove", exact=True).click()
        toasts.get_by_text(f"{name} was removed").wait_for()
        if _ == 0:
            toasts.get_by_role("button", name="Undo").click()
            toasts.get_by_text(f"{name} was removed").wait_for(state="detached")
            until(lambda: page.get_by_label("Shown").input_value() == name)


def test_two_migrations_are_compared(window: Open) -> None:
    page = window().sign_in("/history")
    page.get_by_role("checkbox", name="Compare first").check()
    page.get_by_role("checkbox", name=f"Compare {HOSTILE}").check()
    page.get_by_role("button", name="Compare 2").click()
    page.get_by_role("heading", name="2 migrations compared").wait_for()
    page.get_by_role("table", name="Differences").get_by_role("row").nth(1).wait_for()


def test_a_file_that_takes_long_moves_its_row(window: Open, lasting: str) -> None:
    """It stood at 0 % until all of it was durable."""
    page = window().sign_in(f"/migrations/{lasting}?by=size")
    row = page.get_by_role("table", name="Progress by size").get_by_role("row").filter(has_text="55 MiB")
    until(lambda: re.search(r"\b[1-9]\d? % of 55 MiB", row.inner_text()) is not None)
    assert re.search(r"\b0\s*of 1\b", row.inner_text())  # it is not done


def test_what_still_runs_is_no_worse_than_what_has_ended(window: Open, ended: tuple[str, ...], lasting: str) -> None:
    page = window().sign_in(f"/history?compare={ended[0]},{lasting}")
    table = page.get_by_role("table", name="Differences")

    def row(name: str) -> str:
        return str(table.get_by_role("row").filter(has=page.get_by_text(name, exact=True)).inner_text())

    table.get_by_role("row").nth(1).wait_for()
    for name in ("Moved", "Entries", "Active", "Failed entries", "Retries"):
        assert row(name).count("so far") == 1, name
        assert not re.search("%|better|worse|same", row(name)), name
    assert "so far" not in row("Average rate")
    assert re.search("% worse", row("Average rate"))  # 1 MiB/s


def test_a_report_is_kept_as_a_file_and_opened(window: Open, tmp_path: Path) -> None:
    page = window().sign_in("/reports")
    for link, name in (("Report as HTML", "all.html"), (f"Report of {HOSTILE} as HTML", "one.html")):
        with page.expect_download() as download:
            page.get_by_role("link", name=link).click()
        download.value.save_as(tmp_path / name)
        opened = page.context.new_page()
        opened.goto(f"file://{tmp_path / name}")
        opened.get_by_text(HOSTILE).first.wait_for()
        assert opened.locator("img").count() == 0
    with page.expect_download() as table:
        page.get_by_role("button", name="CSV").click()
    rows = Path(table.value.path()).read_text().splitlines()
    assert {"first", "state"} <= set(",".join(rows).replace('"', "").split(","))


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("path", ["/alerts", "/alerts?rule=new", "/dashboards", "/history", "/reports", "/start"])
def test_no_page_of_them_has_a_fault(window: Open, path: str, width: int) -> None:
    one = window(width=width)
    one.sign_in(path).locator("h1").first.wait_for()
    assert one.faults() == []


def test_a_rule_tells_when_it_would_have_fired_for_how_long_and_how_bad_it_was(
    site: Site, window: Open, lasting: str
) -> None:
    metric = "migmond_execution_bytes_per_second"
    until(lambda: site.view(lasting).state == "completed", timeout_s=90)
    rule = a.RuleSpec("begun", Condition(metric, Operator.ABOVE, 100.0 * 1024, labels={"execution": lasting}))
    with Client(site.daemon.socket) as client:  # what was measured last is on record a little later
        until(lambda: client.call("rules.test", a.RuleTestParams(spec=rule), a.RuleTestView).times)
    one = window()
    page = one.sign_in("/alerts")
    write_rule(page, "begun", metric, "100 KiB/s")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("On (label").fill(f"execution={lasting}")
    dialog.get_by_text(re.compile("Would have fired [1-9]× in the last 7 days")).wait_for()
    episodes = dialog.get_by_role("table", name="Would have fired").locator("tbody tr")
    when, lasted, worst, where = episodes.first.locator("td").all_inner_texts()
    assert re.search(r"\d\d:\d\d:\d\d$", when)
    assert re.search(r"^still$|\d (s|min)$", lasted)
    assert re.search(r"[KM]iB/s$", worst)
    assert lasting in where
    dialog.get_by_role("img", name=re.compile("^migmond_execution_bytes_per_second")).wait_for()
    assert one.faults() == []
