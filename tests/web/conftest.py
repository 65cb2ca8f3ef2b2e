"""One browser and one site for the tests of a file, and a window for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from dashboard import Site, Window, chromium, missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser_process() -> Iterator[Browser]:
    if why := missing():
        pytest.skip(why)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if why := missing():
        pytest.skip(why)
    with Site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def window(browser_process: Browser, site: Site) -> Iterator[Callable[..., Window]]:
    """Makes windows; none of them may have complained of anything when the test ends."""
    made: list[Window] = []

    def open_one(**options: Any) -> Window:
        made.append(Window(browser_process, site, **options))
        return made[-1]

    yield open_one
    complaints = [c for w in made for c in w.complaints]
    for one in made:
        one.close()
    assert complaints == []
