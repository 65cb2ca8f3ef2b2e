"""The history of somebody who migrates every night: more than a hundred, found by name, path and state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboard import Site, Window
from migmond.client.sync import Client
from migmond.domain import api
from patience import until

Open = Callable[..., Window]
MANY = 110
PAGE = 25
QUICK_S = 2.0
"""A list that somebody waits for; it takes 0.1 s, on a machine that does nothing else."""


@pytest.fixture(scope="module")
def ids(site: Site) -> list[str]:
    """Those of the night, one with a name of its own, and one that failed in part."""
    source = site.source("all of them", small=1)
    target = site.home / "targets" / "failing"
    target.mkdir(parents=True)
    (target / "album 0").write_text("a file is where a directory has to be")
    ids = [site.migrate("failing", io=None)]
    with Client(site.daemon.socket) as client:
        for k in range(MANY):
            name = "Accounts 2026" if k == MANY // 2 else f"nightly {k:03}"
            plan = api.PlanSpec(
                (api.SourceSpec(str(source)),), str(site.home / "targets" / "nights" / f"{k:03}"), name=name
            )
            ids.append(client.call("execution.start", api.StartParams(plan), api.ExecutionView).id)
    until(lambda: all(site.view(id_).state.startswith("completed") for id_ in ids), timeout_s=180)
    return ids


def test_one_of_many_is_found(window: Open, ids: list[str]) -> None:
    one = window(width=1024)
    page = one.sign_in("/history")
    rows = page.get_by_role("table", name="Migrations").locator("tbody tr")
    page.get_by_text(f"1 \u2013 {PAGE} of {len(ids)}").wait_for()
    assert rows.count() == PAGE
    assert one.faults() == []
    for k in range(1, 5):
        page.get_by_role("button", name="Next").click()
        page.get_by_text(f"{k * PAGE + 1} \u2013 {min(len(ids), (k + 1) * PAGE)} of {len(ids)}").wait_for()
    assert page.get_by_role("button", name="Next").is_disabled()
    assert "nightly 000" in rows.nth(len(ids) - 4 * PAGE - 2).inner_text()

    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/migrations?" in r.url else None)
    page.get_by_label("Search").press_sequentially("accounts 2026", delay=20)
    began = time.monotonic()
    page.get_by_role("link", name="Accounts 2026").wait_for()
    until(lambda: rows.count() == 1)
    assert time.monotonic() - began < QUICK_S
    assert len(asked) == 1  # not one for each letter
    assert "offset" not in page.evaluate("() => location.search")
    page.reload()
    until(lambda: rows.count() == 1)
    assert page.get_by_label("Search").input_value() == "accounts 2026"

    rows.first.hover()  # rows keep their places under the pointer, but not those of another search
    page.get_by_label("Search").fill("targets/nights/00")
    until(lambda: rows.count() == 10)
    page.get_by_label("Order").select_option("by name")
    until(
        lambda: (
            [r.split("\t")[0] for r in page.locator("td.name a").all_inner_texts()]
            == [f"nightly {k:03}" for k in range(10)]
        )
    )
    page.get_by_label("State").select_option("failed")
    page.get_by_text("None is like that.").wait_for()
    page.get_by_label("Search").fill("")
    page.get_by_label("State").select_option("completed with errors")
    page.get_by_role("link", name="failing").wait_for()
    until(lambda: rows.count() == 1)
    assert one.faults() == []


def test_what_is_picked_stays_picked_on_other_pages_and_in_other_searches(window: Open, ids: list[str]) -> None:
    one = window()
    page = one.sign_in("/history")
    page.get_by_role("checkbox", name=f"Compare nightly {MANY - 1:03}").check()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("checkbox", name=f"Compare nightly {MANY - 1 - PAGE:03}").check()
    page.get_by_label("Search").fill("accounts")
    page.get_by_role("checkbox", name="Compare Accounts 2026").check()
    page.get_by_role("button", name="Compare 3").click()
    page.get_by_role("heading", name="3 migrations compared").wait_for()
    page.get_by_role("table", name="Differences").get_by_text("Accounts 2026").wait_for()
    assert one.faults() == []


def test_a_report_is_read_page_by_page_and_kept_as_a_whole(window: Open, ids: list[str]) -> None:
    one = window(width=1024)
    page = one.sign_in("/reports")
    rows = page.get_by_role("table", name="Migrations").locator("tbody tr")

    def shown(first: int, last: int) -> None:
        page.get_by_text(f"{first} \u2013 {last} of {len(ids)}").wait_for()
        until(lambda: rows.count() == last - first + 1)
        assert one.faults() == []

    shown(1, 50)
    page.get_by_role("button", name="Older").click()
    shown(51, 100)
    page.get_by_role("button", name="Older").click()
    shown(101, len(ids))
    assert page.get_by_role("button", name="Older").count() == 0
    assert "failing" in rows.last.inner_text()
    page.reload()  # the page is in the address
    shown(101, len(ids))
    with page.expect_download() as download:
        page.get_by_role("button", name="Report as JSON").click()
    kept = json.loads(Path(download.value.path()).read_text())
    assert [row["id"] for row in kept["executions"]] == ids[::-1]
    assert (kept["left"], kept["next"]) == (0, None)
    page.get_by_role("button", name="Newest").click()
    shown(1, 50)
    assert "before" not in page.evaluate("() => location.search")
