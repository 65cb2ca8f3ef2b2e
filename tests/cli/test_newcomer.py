"""What `migmon` tells people who do not know it yet: where they go wrong, and what they see first."""

from __future__ import annotations

import pytest

from canned import Migmon

NOTHING_IS_READABLE = "import os; os.access = lambda path, mode, **more: not mode & os.R_OK"
"""What `os.access` says to users of a tree of root's; root himself may read everything."""


@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_the_caller_may_not_read_is_the_daemons_to_judge(migmon: Migmon, command: str) -> None:
    (migmon.directory / "roots").mkdir()
    done = migmon(command, "roots", "b", "--privileged", code=NOTHING_IS_READABLE)
    assert (done.returncode, "error" in done.stderr) == (0, False)
