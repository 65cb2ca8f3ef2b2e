"""The page of every alert action: `python -m migmond.daemon.action_page` prints it."""

from __future__ import annotations

import signal

from migmond.daemon.own_actions import OWN_ACTIONS
from migmond.plugin_host.action_reference import of_plugins, page


def action_page() -> str:
    """Return Markdown: the actions of plugins and the daemon's own, then the settings."""
    actions, settings = of_plugins()
    return page([*actions, *OWN_ACTIONS], settings)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough (`| head`) ends it
    print(action_page(), end="")
