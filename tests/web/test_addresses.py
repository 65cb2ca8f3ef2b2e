"""All state of a page is in its address, and anybody may write or cut off an address: the page stays one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from dashboard import MIB, Site, Window
from patience import until

Open = Callable[..., Window]


@pytest.fixture(scope="module")
def running(site: Site) -> str:
    return site.migrate("archive", io=MIB // 2, large=60)


ADDRESSES = (
    "/migrations/%E0%A4%A",
    "/migrations/%",
    "/?from=abc&to=def",
    "/?from=1e300&to=2e300",
    "/?from=5",
    "/?from=200&to=100",
    "/?span=abc",
    "/?span=-5",
    "/?span=1e99",
    "/migrations/ID?from=abc&to=5",
    "/migrations/ID?chart=none&by=none&files=none",
    "/history?offset=-5",
    "/history?offset=1e30",
    "/history?offset=NaN&sort=none&state=none",
    "/history?compare=a,b,c,d,e,f,g",
    "/history?pick=,,,",
    "/alerts?view=none&before=none&rule=none",
    "/dashboards?name=%00",
    "/reports?span=none",
    "/reports?span=1e400",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_breaks_a_page(window: Open, running: str, address: str) -> None:
    """A cut-off escape in the path, and a time that is none, left an empty page."""
    one = window()
    page = one.sign_in()
    page.goto(one.site.gateway.origin + address.replace("ID", running))
    page.get_by_role("navigation", name="Pages").wait_for()
    page.locator("main h1, main [role=alert]").first.wait_for()
    one.settle()
    page.get_by_role("link", name="Overview").first.click()
    page.get_by_role("link", name="archive").wait_for()
    until(lambda: page.locator("figure canvas").count() == 4)
    one.complaints[:] = [c for c in one.complaints if not re.search(r"status of (404|422|400)", c)]  # the API's word
