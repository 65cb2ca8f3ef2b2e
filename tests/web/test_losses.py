"""What the dashboard shows when the gateway or the daemon goes away, and how it comes back."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from dashboard import MIB, Site, Window
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.alone

Open = Callable[..., Window]
SHOWN_S = 5.0
"""A loss is shown within that time (design page UX)."""


@pytest.fixture(scope="module")
def slow(site: Site) -> str:
    return site.migrate("archive", io=MIB // 2, large=60)


@pytest.fixture
def page(site: Site, slow: str, window: Open) -> Iterator[Page]:
    """The overview of a running migration. What a browser logs about answers that do not come is no complaint."""
    one = window()
    yield one.sign_in()
    ends = "CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|CONTENT_LENGTH_MISMATCH|INCOMPLETE_CHUNKED_ENCODING"
    refused = re.compile(f"ERR_({ends})|status of 503|WebSocket")
    one.complaints[:] = [c for c in one.complaints if not refused.search(c)]


def lost(page: Page, since: float) -> None:
    """Wait for the notice of a loss, which must come in time, and check what goes with it."""
    page.get_by_role("alert").filter(has_text="Figures are from").first.wait_for()
    assert time.monotonic() - since <= SHOWN_S
    assert "Migrations go on" in page.get_by_role("alert").first.inner_text()
    assert page.get_by_text("Not live").is_visible()
    assert page.get_by_role("button", name="Pause", exact=True).first.is_disabled()
    assert page.get_by_role("button", name="Intervene…").first.is_disabled()


def back(page: Page) -> None:
    page.get_by_text("Live", exact=True).wait_for(timeout=20_000)
    assert page.get_by_role("alert").filter(has_text="Figures are from").count() == 0
    until(lambda: page.get_by_role("button", name="Intervene…").first.is_enabled())


def test_the_gateway_is_killed_and_comes_back(site: Site, page: Page) -> None:
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    before = time.monotonic()
    site.gateway.kill()
    lost(page, before)
    first = page.get_by_role("alert").first.inner_text()
    until(lambda: page.get_by_role("alert").first.inner_text() != first, timeout_s=5)  # the figures grow older
    missed = site.migrate("missed meanwhile", io=MIB // 2, large=20)
    site.gateway.start()
    back(page)
    page.get_by_role("link", name="missed meanwhile").wait_for()
    site.daemon.migmon("cancel", missed, "-y")


def test_a_gateway_that_hangs_is_a_lost_one(site: Site, page: Page) -> None:
    assert site.gateway.process is not None
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    before = time.monotonic()
    os.kill(site.gateway.process.pid, signal.SIGSTOP)
    try:
        lost(page, before)
    finally:
        os.kill(site.gateway.process.pid, signal.SIGCONT)
    back(page)


def test_the_daemon_is_killed_and_started_again(site: Site, slow: str, page: Page) -> None:
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    before = time.monotonic()
    site.daemon.kill(movers=True)
    lost(page, before)
    assert "No daemon answers" in page.get_by_role("alert").first.inner_text()
    time.sleep(3)  # longer than the gateway says nothing: that it lives is no news of the daemon
    assert page.get_by_text("Not live").is_visible()
    # Another tab of the same person begins with what was known, which is not live, or says why it knows nothing.
    other = page.context.new_page()
    other.goto(site.gateway.origin)
    told = re.compile("Figures are from|It is not known who is signed in")
    other.get_by_role("alert").filter(has_text=told).wait_for()
    assert other.get_by_text("Live", exact=True).count() == 0
    site.daemon.start()
    back(page)
    back(other)
    row = page.get_by_role("row").filter(has_text="archive").first
    row.get_by_text(re.compile("running|paused")).wait_for()


def test_a_form_outlives_the_daemon_that_it_was_opened_with(site: Site, slow: str, page: Page) -> None:
    page.get_by_role("row").filter(has_text="archive").first.get_by_role("button", name="Intervene…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("I/O limit").fill("0.25")
    dialog.get_by_label("Reason").fill("written before it went away")
    dialog.get_by_role("status").filter(has_text="256 KiB/s").wait_for()
    site.daemon.kill(movers=True)
    until(lambda: dialog.get_by_role("button", name="Apply").is_disabled())
    assert dialog.get_by_label("I/O limit").input_value() == "0.25"
    site.daemon.start()
    until(lambda: dialog.get_by_role("button", name="Apply").is_enabled())
    dialog.get_by_role("button", name="Apply").click()
    dialog.wait_for(state="detached")
    until(lambda: [c.reason for c in site.view(slow).changes] == ["written before it went away"])
