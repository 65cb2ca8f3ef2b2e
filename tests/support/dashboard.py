"""A dashboard of one's own in a real browser, and what must be true of every page of it."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from daemon import ROOT, EmbeddedDaemon
from gateway import RunningGateway
from migmond.client.sync import Client
from migmond.domain import alert_api as a
from migmond.domain import api
from migmond.domain.alert import Condition, Operator, Severity
from migmond.domain.limits import Limits
from migmond.domain.passwords import hash_password

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

MIB = 1 << 20
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZES = {1440: 1000, 1024: 800, 390: 844}
"""Heights of the windows by their widths: a desk, a small laptop, a phone."""
AXE = ROOT / "tests" / "web" / "vendor" / "axe.js"
SCRIPTS = ROOT / "plugins" / "migmond_web" / "static" / "js"
GEOMETRY = ROOT / "tests" / "web" / "geometry.js"
HOSTILE = "<img src=x onerror=alert(1)>&\"' \u202egpj.mkv"
PASSWORD = "correct horse"
CONFIGURATION = '[monitor]\ninterval = "500ms"\n[history]\nflush_every = "1s"\n[web]\npasswords = "{passwords}"\n'


def missing() -> str:
    """Return why no browser can be driven here, "" when one can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed (scripts/setup)"
    return "" if shutil.which("chromium") else "chromium is not installed"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, with a fresh profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


def _as_url(script: Path) -> str:
    """Return a module as an address that has all of it, and of the modules that it imports."""
    text = re.sub(
        r"""(["'])([.]{1,2}/[^"']+[.]js)\1""", lambda m: f'"{_as_url((script.parent / m[2]).resolve())}"',
        script.read_text(),
    )  # fmt: skip
    return "data:text/javascript;base64," + base64.b64encode(text.encode()).decode()


@contextmanager
def module(browser: Browser, name: str) -> Iterator[Page]:
    """A page with nothing but one of the dashboard's modules, and what it needs of others, as `window.module`."""
    context = browser.new_context()
    page = context.new_page()
    page.evaluate("async (url) => { window.module = await import(url); }", _as_url(SCRIPTS / name))
    yield page
    context.close()


class Site:
    """A daemon, the gateway before it, and files to migrate. A context manager that stops both at the end.

    Args:
        home: a directory of one's own.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        passwords = home / "passwords"
        passwords.write_text(f"{self.user}:{hash_password(PASSWORD)}\n")
        passwords.chmod(0o600)
        self.daemon = EmbeddedDaemon(home / "daemon", CONFIGURATION.format(passwords=passwords))
        self.gateway = RunningGateway(self.daemon)

    @property
    def user(self) -> str:
        """Who runs this."""
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name

    def __enter__(self) -> Self:
        self.daemon.start()
        self.gateway.start()
        return self

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        self.gateway.stop()
        self.daemon.kill(movers=True)  # what is throttled would take its time to stop

    def source(self, name: str, *, large: int = 0, small: int = 24) -> Path:
        """Make a directory of `small` files of several types, and `large` MiB in a file of a hostile name."""
        root = self.home / "sources" / name
        for i in range(small):
            folder = root / f"album {i % 4}"
            folder.mkdir(parents=True, exist_ok=True)
            kind = ("jpg", "txt", "flac", "zip")[i % 4]
            (folder / f"file {i:03}.{kind}").write_bytes(os.urandom(2000 * (i % 5 + 1)))
        if large:
            (root / HOSTILE).write_bytes(os.urandom(MIB) * large)
        return root

    def migrate(self, name: str, *, io: int | None = 4 * MIB, workers: int | None = None, **tree: int) -> str:
        """Start a migration, as slow as `io` bytes per second; returns its id. `tree`: as `source` takes it."""
        plan = api.PlanSpec(
            (api.SourceSpec(str(self.source(name, **tree))),), str(self.home / "targets" / name), name=name,
            limits=Limits(io_bytes_per_s=io), workers=workers, reflink=False,
        )  # fmt: skip
        with Client(self.daemon.socket) as client:
            return client.call("execution.start", api.StartParams(plan), api.ExecutionView).id

    def view(self, id_: str) -> api.ExecutionView:
        """Return how a migration stands by the daemon's own word."""
        with Client(self.daemon.socket) as client:
            return client.call("execution.get", api.GetParams(id_), api.ExecutionView)

    def rule(self, name: str, severity: Severity = Severity.CRITICAL) -> None:
        """Make a rule that any throttled migration fires at once."""
        condition = Condition("migmond_execution_bytes_per_second", Operator.BELOW, float(1 << 40))
        spec = a.RuleSpec(name, condition, severity=severity, description="It is slower than people wish")
        with Client(self.daemon.socket) as client:
            client.call("rules.put", a.RulePutParams(spec), a.RuleView)


class Window:
    """A browser's window with a profile of its own, and everything that it complained of."""

    def __init__(self, browser: Browser, site: Site, *, width: int = 1440, scheme: str = "light") -> None:
        self.site = site
        self.context = browser.new_context(
            viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme,  # type: ignore[arg-type]
            has_touch=width < 500,
        )  # fmt: skip
        self.context.set_default_timeout(12_000)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda e: self.complaints.append(f"uncaught: {e}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def sign_in(self, path: str = "/") -> Page:
        """Open a page by a link of one's own."""
        self.page.goto(f"{self.site.gateway.origin}{path}#link={self.site.gateway.link()}")
        self.page.get_by_role("button", name="Sign out", exact=True).wait_for()
        # Who nobody is: the only answer that is no success and belongs there. A browser logs all of them.
        self.complaints[:] = [c for c in self.complaints if "status of 401" not in c]
        return self.page

    def open(self, path: str) -> Page:
        """Go to another page of the dashboard."""
        self.page.goto(self.site.gateway.origin + path)
        self.page.get_by_role("button", name="Sign out", exact=True).wait_for()
        return self.page

    def settle(self) -> None:
        """Wait until nothing is being loaded any more."""
        self.page.wait_for_function(
            "() => ![...document.querySelectorAll('[role=status]')].some((e) => /^Loading/.test(e.textContent))"
        )

    def faults(self, *, settled: bool = True) -> list[str]:
        """Return what is wrong with the page as it is now, by axe's rules and by its geometry."""
        if settled:
            self.settle()
        return [*violations(self.page), *misplaced(self.page)]

    def close(self) -> None:
        """Close it, without a word of what it complained of."""
        self.context.close()


def violations(page: Page) -> list[str]:
    """Return axe's violations of WCAG 2.2 AA, and of what it calls best practice."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [f"{v['id']}: {n['target'][0]}: {_short(n['html'])}" for v in found["violations"] for n in v["nodes"]]


def misplaced(page: Page) -> list[str]:
    """Return what stands where it should not; tests/web/geometry.js says what is looked at."""
    found: list[str] = page.evaluate(GEOMETRY.read_text())
    return found


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:160]
