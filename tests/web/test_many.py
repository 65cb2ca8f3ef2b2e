"""More migrations than a page shows, with names that are long, run from right to left, or look like markup."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from dashboard import MIB, Site, Window
from patience import until

Open = Callable[..., Window]
PAGE = 25
NAMES = (
    "w" * 120,
    "\u05d0\u05e8\u05db\u05d9\u05d5\u05df <b>x</b> 2025",
    "<script>alert(1)</script>",
    "a&amp;b 'c' \"d\"",
)
FILES = (
    "line\nbreak.txt",
    "\u202egnp.exe",
    "<script>alert(1)<script>.jpg",
    "\u05d0" * 60 + ".mkv",
    "y" * 200,
    "\x1b[31m",
)


@pytest.fixture(scope="module")
def ids(site: Site) -> list[str]:
    """Many that have ended, and one that lasts; all of them have hostile files."""
    root = site.source(NAMES[0], small=1)
    for name in FILES:
        (root / name).write_bytes(os.urandom(2000))
    made = [site.migrate(name, io=MIB // 4, large=30 if name == NAMES[0] else 0, small=1) for name in NAMES]
    made += [site.migrate(f"run {k:02}", io=None, small=1) for k in range(PAGE)]
    until(lambda: all(site.view(id_).state == "completed" for id_ in made[len(NAMES) :]), timeout_s=120)
    return made


def test_history_is_paged(window: Open, ids: list[str]) -> None:
    one = window()
    page = one.sign_in("/history")
    rows = page.get_by_role("table", name="Migrations").locator("tbody tr")
    until(lambda: rows.count() == PAGE)
    first = rows.first.inner_text()
    page.get_by_text(f"1 \u2013 {PAGE} of {len(ids)}").wait_for()
    page.get_by_role("button", name="Next").click()
    until(lambda: rows.count() == len(ids) - PAGE)
    assert f"offset={PAGE}" in page.url
    page.reload()
    until(lambda: rows.count() == len(ids) - PAGE)
    page.get_by_role("button", name="Previous").click()
    until(lambda: rows.count() == PAGE and rows.first.inner_text() == first)
    assert one.faults() == []


@pytest.mark.parametrize("width", [390, 1024])
def test_hostile_names_are_text_and_fit_on_every_page(window: Open, ids: list[str], width: int) -> None:
    one = window(width=width)
    page = one.sign_in()
    page.get_by_role("link", name=NAMES[0]).wait_for()
    found = {"/": one.faults()}
    ended = ids[2]
    for path in (
        f"/migrations/{ids[0]}?files=all", f"/migrations/{ids[1]}", f"/migrations/{ended}", f"/history?offset={PAGE}",
        f"/history?compare={','.join(ids[:4])}", "/reports", "/alerts",
    ):  # fmt: skip
        one.open(path)
        found[path] = one.faults()
    one.open(f"/migrations/{ids[0]}?files=all")
    page.get_by_role("table", name="Files").get_by_text("line\\x0abreak.txt").wait_for()
    page.get_by_role("button", name="Intervene\u2026").click()
    found["dialog"] = one.faults()
    assert page.locator("script:not([src])").count() == 0
    assert page.locator("main b").count() == page.locator("main .legend b").count()
    wrong = [f"{path}: {fault}" for path, faults in found.items() for fault in faults]
    assert wrong == [], "\n".join(wrong)
