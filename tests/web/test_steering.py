"""What people change from the page beyond pausing and throttling, and what the forms say to what they cannot mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dashboard import MIB, Site, Window
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Open = Callable[..., Window]


@pytest.fixture(scope="module")
def slow(site: Site) -> str:
    """A migration that lasts, most of whose files are pending."""
    return site.migrate("archive", io=MIB // 8, workers=1, small=2000)


def intervene(page: Page, kind: str) -> Locator:
    page.get_by_role("button", name="Intervene…").click()
    dialog = page.get_by_role("dialog", name=re.compile("^Intervene in"))
    dialog.get_by_role("radio", name=kind).check()
    return dialog


def test_what_is_no_number_is_told_and_never_taken_for_no_limit(window: Open, slow: str) -> None:
    page = window().sign_in(f"/migrations/{slow}")
    dialog = intervene(page, "Limit speed")
    for text in ("5o", "-1", "1e3", "1,5", "9" * 400):
        dialog.get_by_label("I/O limit").fill(text)
        dialog.get_by_role("status").filter(has_text=f'I/O limit: "{text}" is no number').wait_for()
        assert dialog.get_by_role("button", name="Apply").is_disabled()
    dialog.get_by_role("radio", name="Batch").check()
    dialog.get_by_role("textbox", name=re.compile("^Workers")).fill("2")
    dialog.get_by_role("textbox", name=re.compile("^Batch")).fill("100")
    dialog.get_by_role("status").filter(has_text="one after the other").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Start", exact=True).click()
    for field in ("I/O limit", "Movers"):
        for text in ("5o", "9" * 400):
            page.get_by_label(field).fill(text)
            assert page.get_by_label(field).evaluate("(e) => e.validity.patternMismatch")
        page.get_by_label(field).fill(" 5 ")
        assert page.get_by_label(field).evaluate("(e) => e.validity.valid")


def test_a_threshold_that_is_none_is_told(window: Open) -> None:
    page = window().sign_in("/alerts?rule=new")
    page.get_by_label("Threshold").fill("20 parsecs")
    page.get_by_role("status").filter(has_text='"20 parsecs" is no threshold').wait_for()
    page.get_by_label("Threshold").fill("20 MiB/s")
    page.get_by_label("On (label").fill("sda")
    page.get_by_role("status").filter(has_text='"sda" are no labels').wait_for()


def test_files_of_one_type_are_paused_and_go_on(site: Site, window: Open, slow: str) -> None:
    one = window(width=390)
    page = one.sign_in(f"/migrations/{slow}")
    dialog = intervene(page, "Pause some")
    dialog.get_by_label("audio").check()
    dialog.get_by_role("status").filter(has_text=re.compile(r"[1-9]\d* entries")).wait_for()
    assert one.faults() == []
    dialog.get_by_role("button", name="Apply").click()
    page.locator(".toast").get_by_role("button", name="Undo").wait_for()
    assert [h.covers for h in site.view(slow).holds] == ["type audio"]
    page.locator(".toast").get_by_role("button", name="Undo").click()
    until(lambda: site.view(slow).holds == ())


def test_what_is_left_is_sent_elsewhere(site: Site, window: Open, slow: str) -> None:
    there = site.home / "elsewhere"
    one = window()
    page = one.sign_in(f"/migrations/{slow}")
    dialog = intervene(page, "Send what is left")
    dialog.get_by_label("archive", exact=True).check()
    dialog.get_by_label("Directory to send it to").fill("nowhere")
    dialog.get_by_role("status").filter(has_text="absolute").wait_for()
    assert dialog.get_by_role("button", name="Apply").is_disabled()
    dialog.get_by_role("button", name="Browse for the directory").click()
    browse = page.get_by_role("dialog", name="Choose a directory")
    browse.get_by_text("nowhere").wait_for(state="detached")
    browse.get_by_role("button", name="Cancel").click()
    dialog.get_by_label("Directory to send it to").fill(str(there))
    effect = dialog.get_by_role("status")
    effect.filter(has_text=re.compile(r"[1-9]\d* entries")).wait_for()
    effect.filter(has_text="it is not there yet: it is made").wait_for()
    assert one.faults() == []
    assert not there.exists()
    dialog.get_by_role("button", name="Apply").click()
    page.locator(".toast").filter(has_text="elsewhere").wait_for()
    page.get_by_text(re.compile(f"→ .*targets/archive, {re.escape(str(there))}")).wait_for()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.locator(".toast").filter(has_text="taken back").wait_for()
    # Of the refusal of what is no absolute path: a browser logs every answer that is no success.
    one.complaints[:] = [c for c in one.complaints if "status of 422" not in c]


def test_the_order_is_that_of_the_disk(site: Site, window: Open, slow: str) -> None:
    page = window().sign_in(f"/migrations/{slow}")
    dialog = intervene(page, "Order of")
    dialog.get_by_role("combobox", name="Order").select_option(label="all: by place on the disk (extent)")
    dialog.get_by_role("status").filter(has_text="extent").wait_for()
    dialog.get_by_role("button", name="Apply").click()
    page.locator(".toast").filter(has_text="extent").get_by_role("button", name="Undo").wait_for()
    assert "extent" in site.view(slow).changes[-1].what


def test_errors_of_one_cause_are_tried_again(site: Site, window: Open) -> None:
    in_the_way = site.home / "targets" / "hindered" / "album 0"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file is where a directory has to be")
    id_ = site.migrate("hindered", io=None)
    until(lambda: site.view(id_).state not in {"created", "waiting", "running"})
    one = window()
    page = one.sign_in(f"/migrations/{id_}")
    groups = page.get_by_role("table", name="Errors", exact=True)
    groups.get_by_role("button", name="Retry ENOTDIR of directory").wait_for()
    assert one.faults() == []
    in_the_way.unlink()
    for phase in ("copy", "directory"):
        groups.get_by_role("button", name=f"Retry ENOTDIR of {phase}").click()
        page.locator(".toast").filter(has_text="failed → pending").first.wait_for()
        until(lambda: site.view(id_).state.startswith("completed"))
    until(lambda: site.view(id_).state == "completed")
    page.get_by_text("completed", exact=True).first.wait_for()
    page.get_by_text("Nothing has failed.").wait_for()


def test_what_has_ended_is_rolled_back_and_forgotten_by_name_only(site: Site, window: Open, tmp_path: Path) -> None:
    id_ = site.migrate("mistake", io=None)
    until(lambda: site.view(id_).state == "completed")
    target = site.home / "targets" / "mistake"
    one = window()
    page = one.sign_in(f"/migrations/{id_}")
    page.get_by_role("button", name="Roll back…").click()
    dialog = page.get_by_role("dialog", name="Roll mistake back?")
    dialog.get_by_role("table", name="What becomes of it").get_by_role("row").nth(1).wait_for()
    assert one.faults() == []
    assert dialog.get_by_role("button", name="Roll back").is_disabled()
    dialog.get_by_label("Type its name").fill("mistake")
    dialog.get_by_label("Reason").fill("the wrong disk")
    dialog.get_by_role("button", name="Roll back").click()
    page.wait_for_url(lambda url: id_ not in url)
    until(lambda: not target.exists() or not any(p.is_file() for p in target.rglob("*")))
    page.get_by_text("completed", exact=True).first.wait_for()
    one.open(f"/migrations/{id_}")
    page.get_by_role("button", name="Forget…").click()
    dialog = page.get_by_role("dialog", name="Forget mistake?")
    assert one.faults() == []
    dialog.get_by_label("Type its name").fill("mistak")
    assert dialog.get_by_role("button", name="Forget it").is_disabled()
    dialog.get_by_label("Type its name").fill("mistake")
    dialog.get_by_label("Type its name").press("Enter")
    page.get_by_role("heading", name="History").wait_for()
    until(lambda: page.locator(f"a[href='/migrations/{id_}']").count() == 0)
