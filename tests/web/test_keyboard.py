"""The whole dashboard by keyboard alone: no test here touches a pointer, nor puts the focus anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboard import MIB, PASSWORD, Site, Window
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., Window]
FOCUS = """() => {
  const e = document.activeElement, r = e.getBoundingClientRect(), style = getComputedStyle(e);
  const label = e.labels?.[0]?.textContent;
  const chosen = e.tagName === "SELECT" && label ? label.replace(e.textContent, "") : label;
  const between = (a, b, most) => (Math.max(0, a) + Math.min(most, b)) / 2;
  const middle = document.elementFromPoint(between(r.left, r.right, innerWidth), between(r.top, r.bottom, innerHeight));
  return {
    name: (e.getAttribute("aria-label") || chosen || e.textContent).trim(), tag: e.tagName,
    ring: style.outlineStyle !== "none" && style.outlineWidth !== "0px",
    shown: r.bottom > 0 && r.top < innerHeight && r.right > 0 && r.left < innerWidth,
    covered: !(middle && (e.contains(middle) || middle.contains(e) || e.labels?.[0]?.contains(middle))),
  };
}"""


class Keys:
    """Somebody with a keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def focus(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate(FOCUS)
        return found

    def address(self) -> str:
        """As the page has it: what playwright was told of it may be older."""
        return str(self.page.evaluate("() => location.href"))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def go(self, name: str | re.Pattern[str], *, back: bool = False, most: int = 120) -> None:
        """Go on with Tab to what has that name; wherever the focus is on the way, it is seen."""
        wanted = re.compile(f"{re.escape(name)}$") if isinstance(name, str) else name
        passed = []
        for _ in range(most):
            self.press("Shift+Tab" if back else "Tab")
            now = self.focus()
            if now["tag"] == "BODY":  # between the last and the first it is with the browser's own window
                continue
            passed.append(now["name"][:60])
            assert now["ring"], f"no ring around {now['name']!r}"
            assert now["shown"], f"{now['name']!r} has the focus and is out of sight"
            assert not now["covered"], f"{now['name']!r} has the focus and is covered"
            if wanted.match(now["name"]):
                return
        raise AssertionError(f"Tab never comes to {wanted.pattern!r}, only to {passed}")

    def use(self, name: str | re.Pattern[str], key: str = "Enter", **how: Any) -> None:
        self.go(name, **how)
        self.press(key)

    def choose(self, page: str) -> None:
        """Go to another page by the navigation, from wherever this is."""
        self.press("Control+Home")
        self.use(re.compile(rf"{page}( \(\d+\))?$"), back=True)
        self.page.get_by_role("link", name=re.compile(f"^{page}")).and_(
            self.page.locator("[aria-current=page]")
        ).wait_for()


@pytest.fixture(scope="module")
def failing(site: Site) -> str:
    """The name of a migration with errors that can be mended."""
    in_the_way = site.home / "targets" / "hindered" / "album 0"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file is where a directory has to be")
    id_ = site.migrate("hindered", io=None)
    until(lambda: site.view(id_).state == "completed_with_errors")
    return "hindered"


def test_a_tour_of_everything(site: Site, window: Open, failing: str, tmp_path: Path) -> None:
    one = window(scheme="light")
    page, keys = one.page, Keys(one.page)
    page.goto(site.gateway.origin)
    page.get_by_role("heading", name="Sign in to migmond").wait_for()
    keys.go("User")
    keys.type(site.user)
    keys.go("Password")
    keys.type(PASSWORD)
    keys.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    page.get_by_text("Live", exact=True).wait_for()
    one.complaints.clear()  # of the question who is signed in, before somebody was

    # Start one.
    keys.use("Start")
    page.get_by_role("heading", name="Start a migration").wait_for()
    source, target = site.source("by keys", large=60, small=400), tmp_path / "there"
    keys.go("From")
    keys.type(str(source))
    keys.use("Browse for the source")
    browse = page.get_by_role("dialog", name="Choose a directory")
    browse.get_by_role("button", name="album 0/").wait_for()
    keys.press("Escape")
    browse.wait_for(state="detached")
    until(lambda: keys.focus()["name"] == "Browse for the source")
    keys.go(re.compile("To "))
    keys.type(str(target))
    keys.go(re.compile("I/O limit"))
    keys.type("0.25")
    keys.go(re.compile("Name"))
    keys.type("by keys")
    keys.go(re.compile("Movers"))
    keys.type("1")
    keys.use("Check")
    page.get_by_text("feasible", exact=True).wait_for()
    keys.use("Start it")
    page.get_by_role("heading", name="by keys").wait_for()
    id_ = keys.address().rsplit("/", 1)[1]

    # Pause part of it, and take that back.
    until(page.get_by_role("button", name="Intervene…").is_enabled)
    keys.use("Intervene…")
    dialog = page.get_by_role("dialog", name="Intervene in by keys")
    dialog.wait_for()
    keys.go("Limit speed, CPU or memory", back=True)
    keys.press("ArrowDown", "ArrowDown", "ArrowDown")
    assert keys.focus()["name"] == "Pause some files"
    keys.use("audio", "Space")
    dialog.get_by_role("status").filter(has_text=re.compile(r"[1-9]\d* entries")).wait_for()
    keys.use("Apply")
    page.locator(".toast").get_by_role("button", name="Undo").wait_for()
    assert [h.covers for h in site.view(id_).holds] == ["type audio"]
    until(lambda: keys.focus()["name"] == "Intervene…")
    keys.press("Control+z")
    page.locator(".toast").filter(has_text="taken back").wait_for()
    until(lambda: site.view(id_).holds == ())

    # Pause all of it and go on: the button stays under the fingers.
    keys.use("Pause", back=True)
    until(lambda: site.view(id_).state == "paused")
    until(lambda: keys.focus()["name"] == "Resume")
    keys.press("Space")
    until(lambda: site.view(id_).state == "running")
    until(lambda: keys.focus()["name"] == "Pause")
    keys.use("Cancel…")
    page.get_by_role("dialog", name="Cancel by keys?").wait_for()
    keys.press("Escape")
    until(lambda: keys.focus()["name"] == "Cancel…")

    # Charts: another one, nearer, as a table.
    keys.use("ETA", "Space")
    assert "chart=eta" in keys.address()
    page.get_by_role("figure", name=re.compile("^Time left")).get_by_role("button", name="Table").wait_for()
    keys.go(re.compile("Time left.* The button Table shows all values"))
    keys.press("+")
    page.get_by_role("button", name="Back to live").wait_for()
    begin, end = (float(v) for v in re.findall(r"(?:from|to)=([\d.]+)", keys.address()))
    assert 10 <= end - begin <= 450  # half of what there is of it, a quarter of an hour at most
    keys.press("ArrowLeft")
    until(lambda: f"to={end}" not in keys.address())
    for _ in range(16):  # where nothing is, the chart keeps the focus
        keys.press("ArrowLeft")
    page.get_by_text("Nothing was recorded in this time.").wait_for()
    keys.press("ArrowRight")
    keys.press("Escape")
    until(lambda: "from=" not in keys.address())
    keys.use("Table", back=True)
    page.get_by_role("table", name=re.compile("^Time left")).wait_for()
    keys.use("Directory", "Space")
    page.get_by_role("table", name="Progress by directory").wait_for()

    # Errors of another one, found in the history; what was in the way is away.
    (site.home / "targets" / "hindered" / "album 0").unlink()
    keys.choose("History")
    keys.go(re.compile("State"))
    keys.type("completed with")
    until(lambda: "state=completed_with_errors" in keys.address())
    page.get_by_role("link", name=failing).wait_for()
    keys.use(failing)
    page.get_by_role("table", name="Errors", exact=True).get_by_role("button").first.wait_for()
    for phase in ("copy", "directory"):
        keys.use(f"Retry ENOTDIR of {phase}")
        page.locator(".toast").filter(has_text="failed → pending").first.wait_for()
        until(lambda: site.view(keys.address().rsplit("/", 1)[1]).state.startswith("completed"))
    page.get_by_text("Nothing has failed.").wait_for()

    # Reports, as a file.
    keys.choose("Reports")
    keys.use("7 days", "Space")
    until(lambda: "span=604800" in keys.address())
    page.get_by_role("table", name="Migrations").wait_for()
    with page.expect_download() as saved:
        keys.use("Report as HTML")
    assert "hindered" in Path(saved.value.path()).read_text()

    # Another theme.
    before = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    keys.use("Theme: auto", back=True)
    keys.press("Enter")
    until(lambda: keys.focus()["name"] == "Theme: dark")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != before
    site.daemon.migmon("cancel", "by keys", "-y")


def test_rules_and_dashboards_are_made_by_keys(site: Site, window: Open) -> None:
    one = window()
    page, keys = one.sign_in("/alerts"), Keys(one.page)
    until(page.get_by_role("button", name="New rule…").is_enabled)
    keys.use("New rule…")
    dialog = page.get_by_role("dialog", name="New rule")
    dialog.wait_for()
    assert keys.focus()["name"] == "Name"
    keys.type("by-keys")
    keys.go("Metric")
    keys.type("migmond_memory_used_bytes")
    keys.go("Threshold")
    keys.type("900 GiB")
    keys.use("Save")
    dialog.wait_for(state="detached")
    until(lambda: "by-keys" in site.daemon.migmon("rules", "ls").stdout)
    page.get_by_role("button", name="Remove by-keys").wait_for()
    keys.use("Remove by-keys")
    page.get_by_role("dialog", name="Remove by-keys?").wait_for()
    keys.use("Remove")
    until(lambda: "by-keys" not in site.daemon.migmon("rules", "ls").stdout)

    keys.choose("Dashboards")
    keys.use("New")
    keys.go("Name")
    keys.type("mine")
    for title in ("first", "second"):
        keys.use("Add a panel…", back=title == "second")
        page.get_by_role("dialog", name="Add a panel").wait_for()
        keys.type("Table")  # the kind has the focus
        keys.go("Title")
        keys.type(title)
        keys.press("Enter")
        page.get_by_role("heading", name=title, exact=True).wait_for()
    titles = page.locator(".board h2")
    keys.use("Move first later")
    until(lambda: titles.all_inner_texts() == ["second", "first"])
    until(lambda: keys.focus()["name"] in ("Move first later", "Move first earlier"))
    keys.use("Save", back=True)
    page.locator(".toast").filter(has_text="mine is saved").wait_for()
    page.reload()
    until(lambda: titles.all_inner_texts() == ["second", "first"])


def test_several_are_picked_and_paused_by_keys(site: Site, window: Open) -> None:
    ids = [site.migrate(name, io=MIB // 4, large=20) for name in ("one", "two")]
    one = window()
    page, keys = one.sign_in(), Keys(one.page)
    page.get_by_role("checkbox", name="Pick two").wait_for()
    keys.use("Pick one", "Space")
    keys.use("Pick two", "Space")
    keys.use("Pause…", back=True)
    page.get_by_role("dialog", name="Pause 2 migrations").wait_for()
    keys.type("by keys")
    keys.press("Enter")
    until(lambda: all(site.view(i).state == "paused" for i in ids))
    page.locator(".toast").get_by_role("button", name="Undo").wait_for()
    keys.use("Undo", back=True)  # the toast is the last of the page
    until(lambda: all(site.view(i).state == "running" for i in ids))
    for name in ("one", "two"):
        site.daemon.migmon("cancel", name, "-y")
