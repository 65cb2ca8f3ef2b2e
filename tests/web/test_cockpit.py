"""contrib/cockpit in Debian's Cockpit: the dashboard behind its menu, reached by its bridge, in a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import dashboard
from daemon import ROOT
from dashboard import MIB, Site
from gateway import free_port
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.people import CloseParams, PersonSession, PersonSessions
from patience import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

WS = "/usr/lib/cockpit/cockpit-ws"
INSTALLED = "/usr/local/share/cockpit/migmond"
SHELL = "/usr/share/cockpit/shell"
FRAME = "iframe[name='cockpit1:localhost/migmond']"

missing = dashboard.missing() or ("" if shutil.which(WS) and Path(SHELL).is_dir() else "cockpit is not installed")
pytestmark = pytest.mark.skipif(bool(missing), reason=missing or "-")


class Cockpit:
    """Its web server, and a session of whoever runs this, without a password. A context manager that ends both.

    Args:
        home: a directory of its own.
        environment: what its bridge, and so every program that a page starts, has.
    """

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.port, self.log = free_port(), home / "cockpit.log"
        (home / "runtime").mkdir(mode=0o700, parents=True)
        self._environment = {
            **environment,
            "XDG_DATA_HOME": str(home / "share"),
            "XDG_RUNTIME_DIR": str(home / "runtime"),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Cockpit:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [WS, "--no-tls", "--address=127.0.0.1", f"--port={self.port}", "--local-session=cockpit-bridge"],
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"cockpit-ws did not start:\n{self.log.read_text()}") from None
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)


def install(where: Path) -> None:
    """Type what contrib/cockpit/README.md says, for a directory of one's own."""
    text = (ROOT / "contrib/cockpit/README.md").read_text().split("```")[1]
    assert INSTALLED in text
    subprocess.run(["sh", "-e", "-c", text.replace(INSTALLED, str(where))], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def cockpit(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cockpit]:
    home = tmp_path_factory.mktemp("cockpit")
    install(home / "share/cockpit/migmond")
    # `migmon dash` finds the gateway of this daemon here.
    Path(site.daemon.socket).with_name("gateway").write_text(str(site.gateway.port))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with Cockpit(home, {**site.daemon.environment, "PATH": path}) as running:
        yield running
    for process in psutil.process_iter(["cmdline"]):  # what `migmon dash` has started
        if site.daemon.socket in (words := process.info["cmdline"] or []) and "migmond_web.main" in words:
            process.terminate()


@pytest.fixture
def page(browser_process: Browser) -> Iterator[Page]:
    """A window. It may not complain of anything but of what Cockpit's own pages do."""
    context = browser_process.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(20_000)
    page, complaints = context.new_page(), list[str]()
    page.on(
        "console", lambda m: complaints.append(f"{m.text} {m.location}") if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda e: complaints.append(f"uncaught: {e}"))
    yield page
    context.close()
    assert [c for c in complaints if "/migmond/" in c or "uncaught" in c] == []


def opened(page: Page, cockpit: Cockpit, path: str = "") -> FrameLocator:
    page.goto(f"{cockpit.origin}/migmond{path}")
    frame = page.frame_locator(FRAME)
    frame.get_by_text("Live", exact=True).wait_for()
    return frame


def test_it_is_in_the_menu_and_whoever_is_signed_in_to_cockpit_is_signed_in(
    page: Page, cockpit: Cockpit, site: Site
) -> None:
    page.goto(f"{cockpit.origin}/")
    page.get_by_role("link", name="File migrations").click()
    frame = page.frame_locator(FRAME)
    frame.get_by_role("heading", name="Overview", level=1).wait_for()
    frame.get_by_role("link", name=f"{site.user} (admin)").wait_for()
    assert frame.get_by_role("button", name="Sign out").count() == 0, "Cockpit is where people sign in and out"


def test_a_running_migration_is_watched_and_steered(page: Page, cockpit: Cockpit, site: Site) -> None:
    id_ = site.migrate("films", io=2 * MIB, large=60)
    frame = opened(page, cockpit)
    frame.get_by_role("table", name="Active migrations").get_by_role("link", name="films").click()
    frame.get_by_role("heading", name="films").wait_for()
    assert page.url.endswith(f"/migmond#/migrations/{id_}")
    frame.get_by_role("button", name="Pause", exact=True).first.click()
    until(lambda: site.view(id_).state == "paused")
    # Nobody asked for that: an event brought it.
    frame.get_by_text("paused").first.wait_for()
    page.go_back()
    frame.get_by_role("heading", name="Overview", level=1).wait_for()


def test_an_address_leads_to_its_page_and_a_report_is_kept_as_a_file(page: Page, cockpit: Cockpit, site: Site) -> None:
    site.migrate("small", io=None)
    frame = opened(page, cockpit, "#/reports?span=86400")
    frame.get_by_role("heading", name="Reports", level=1).wait_for()
    with page.expect_download() as kept:
        frame.get_by_role("link", name="Report as HTML", exact=True).click()
    assert kept.value.suggested_filename == "migmond-report.html"
    assert "<html" in Path(kept.value.path()).read_text()


def test_a_gateway_that_goes_and_a_session_that_ends_are_got_over(page: Page, cockpit: Cockpit, site: Site) -> None:
    frame = opened(page, cockpit)
    sessions = len(signed_in(site))
    site.gateway.kill()
    frame.get_by_role("alert").get_by_text("Migrations go on").wait_for()
    frame.get_by_text("Live", exact=True).wait_for()  # `migmon dash` has started another one
    assert len(signed_in(site)) == sessions, "the session was good still"
    for session in signed_in(site):
        with Client(site.daemon.socket) as client:
            client.call("session.close", CloseParams(session.id), api.Acknowledged)
    until(lambda: frame.get_by_text("the session is over").count() or len(signed_in(site)) == 1)
    if (again := frame.get_by_role("button", name="Try again")).count():
        again.click()
    frame.get_by_text("Live", exact=True).wait_for()
    assert len(signed_in(site)) == 1


def signed_in(site: Site) -> tuple[PersonSession, ...]:
    with Client(site.daemon.socket) as client:
        return client.call("session.list", api.Nothing(), PersonSessions).sessions


def test_what_is_in_the_way_is_told(page: Page, site: Site, tmp_path: Path) -> None:
    """No daemon, and a PATH without migmon: the page says so, and that it cannot help it."""
    install(tmp_path / "share/cockpit/migmond")
    away = {**site.daemon.environment, "MIGMOND_SOCKET": str(tmp_path / "no-socket"), "PATH": "/usr/bin:/bin"}
    with Cockpit(tmp_path, away) as other:
        page.goto(f"{other.origin}/migmond")
        page.frame_locator(FRAME).get_by_role("alert").get_by_text("migmon is not installed").wait_for()
