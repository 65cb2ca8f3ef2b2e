"""What `migmon` tells people who do not know it yet: where they go wrong, and what they see first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from canned import DONE, ROOT, VERIFICATION, Migmon, always, refuse, running
from fake_daemon import Connection, HangUp
from fake_views import ended
from migmond.domain import api

NOTHING_IS_READABLE = "import os; os.access = lambda path, mode, **more: not mode & os.R_OK"
"""What `os.access` says to users of a tree of root's; root himself may read everything."""


@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_the_caller_may_not_read_is_the_daemons_to_judge(migmon: Migmon, command: str) -> None:
    (migmon.directory / "roots").mkdir()
    done = migmon(command, "roots", "b", "--privileged", code=NOTHING_IS_READABLE)
    assert (done.returncode, "error" in done.stderr) == (0, False)


SEVERAL = refuse("ambiguous", "2 migrations match 'media'", "give the id of one: 8f3a1c (...), 9e3a1c (...)")


def one_of_several(connection: Connection, params: dict[str, Any]) -> Any:
    return DONE if params.get("newest") or params["id"] == DONE.id else SEVERAL(connection, params)


@pytest.mark.parametrize("command", ["show", "files", "errors", "interventions", "watch", "top", "verify"])
def test_what_only_looks_takes_the_newest_of_that_name_and_says_so(tmp_path: Path, command: str) -> None:
    with running(tmp_path, {"execution.get": one_of_several}) as migmon:
        done = migmon(command, "media")
        asked = {params["id"] for name, params in migmon.daemon.calls if "id" in params and name != "execution.get"}
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("several are called media; this is the newest, 8f3a1c of ")
    assert " to /mnt/b " in done.stderr.splitlines()[0]
    assert asked <= {DONE.id}


@pytest.mark.parametrize("command", ["cancel", "pause", "resume", "drain"])
@pytest.mark.parametrize("trying", [True, False])
def test_what_steers_asks_which(tmp_path: Path, command: str, trying: bool) -> None:
    handlers = {"execution.get": one_of_several, f"execution.{command}": SEVERAL}
    with running(tmp_path, handlers) as migmon:
        done = migmon(command, "media", *(["-n"] if trying else []))
    assert (done.returncode, done.stderr.splitlines()[1][:25]) == (4, "hint: give the id of one: "[:25])


@pytest.mark.parametrize(
    ("command", "method", "hint"), [("plan", "plan.check", False), ("run", "execution.start", True)]
)
def test_ctrl_c_says_that_something_goes_on_only_when_it_does(
    tmp_path: Path, command: str, method: str, hint: bool
) -> None:
    asked, over = threading.Event(), threading.Event()

    def silent(connection: Connection, params: dict[str, Any]) -> Any:
        asked.set()
        over.wait(30)
        raise HangUp

    with running(tmp_path, {method: silent}) as migmon:
        process = migmon.start(command, "a", "b", stdin=subprocess.DEVNULL)
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        over.set()
    assert process.returncode == 130
    assert said.decode().lstrip() == "error: interrupted\n" + (
        "hint: what was started goes on: migmon ls\n" if hint else ""
    )


def test_ctrl_c_while_it_is_still_being_imported_is_no_traceback(migmon: Migmon) -> None:
    interrupting = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'migmond.cli.main': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from migmond.cli.__main__ import run; run()"
    )
    done = migmon("ls", code=interrupting)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_the_reference_may_be_read_in_part() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as gone:
        command = [sys.executable, "-m", "migmond.rpc.reference"]
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    assert done.stderr == b""


def test_a_move_that_was_one_rename_says_why_it_counts_so_little(tmp_path: Path) -> None:
    why = "renamed as a whole within one file system"
    moved = ended(why=why, operation="move", verification=VERIFICATION)
    over = api.Subscription(1, 7, False, (moved,))
    with running(tmp_path, {"events.subscribe": always(over), "execution.get": always(moved)}) as migmon:
        said = (
            migmon("run", "a", "b", "--move").stderr,
            migmon("verify", "media").stdout,
            migmon("show", "media").stdout,
        )
    assert [why in text for text in said] == [True, True, True]
