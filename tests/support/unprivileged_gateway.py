"""`migmond-web` as a user without rights: `unprivileged_gateway.py UID GID OPTIONS…`.

The interpreter's files may be out of that user's reach: all that is needed is loaded before the rights are given up.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import hypercorn.config
import hypercorn.trio
import trio

import migmond_web.app
import migmond_web.main

LOADED = (hypercorn.config, hypercorn.trio, migmond_web.app)


def main() -> None:
    uid, gid = map(int, sys.argv[1:3])
    sys.argv[1:3] = []
    run = trio.run

    def run_as_user(*given: Any) -> Any:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        return run(*given)

    migmond_web.main.trio = SimpleNamespace(**{**vars(trio), "run": run_as_user})  # type: ignore[assignment, attr-defined]
    migmond_web.main.main()


if __name__ == "__main__":
    main()
