"""What `migmon` tells people who do not know it yet: where they go wrong, and what they see first."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

import trees
from canned import DONE, ROOT, VERDICT, VERIFICATION, Migmon, always, refuse, running
from fake_daemon import Connection, HangUp
from fake_views import AT, ended, execution, progress
from migmond.client.errors import no_connection
from migmond.domain import api
from migmond.domain.event_api import Subscription
from migmond.domain.steering_api import InterventionList, InterventionView

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
    over = Subscription(1, 7, False, (moved,))
    with running(tmp_path, {"events.subscribe": always(over), "execution.get": always(moved)}) as migmon:
        said = (
            migmon("run", "a", "b", "--move").stderr,
            migmon("verify", "media").stdout,
            migmon("show", "media").stdout,
        )
    assert [why in text for text in said] == [True, True, True]


def test_a_socket_of_somebody_else_is_no_absent_daemon() -> None:
    refused = no_connection("/s", PermissionError(errno.EACCES, "Permission denied"))
    assert refused.message == "you may not use the socket /s: it is another user's (Permission denied)"
    assert "a daemon of your own" in refused.hint
    assert "no daemon answers" in no_connection("/s", ConnectionRefusedError(errno.ECONNREFUSED, "refused")).message


def test_watching_what_has_ended_is_answered_in_json_too(tmp_path: Path) -> None:
    over = Subscription(1, 7, False, (DONE,))
    with running(tmp_path, {"events.subscribe": always(over)}) as migmon:
        (line,) = migmon("watch", "media", "--json").stdout.splitlines()
    assert json.loads(line)["kind"] == "execution"


@pytest.mark.parametrize(("state", "asks"), [("completed", False), ("cancelled", False), ("drained", True)])
def test_nobody_is_asked_whether_to_cancel_what_has_ended(tmp_path: Path, state: str, asks: bool) -> None:
    moved = ended(state, operation="move")
    handlers = {"execution.get": always(moved), "execution.cancel": refuse("conflict", "it has ended")}
    with running(tmp_path, handlers) as migmon:
        done = migmon("cancel", "media")
    assert (done.returncode, "needs its name" in done.stderr) == ((2, True) if asks else (1, False))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["receipt", "--check", "f", "-o", "x"], "error: --output writes a new receipt, --check reads a saved one"),
        (["run", "a", "b", "--include"], "hint: migmon run --help"),
        (["pause", "media", "--for"], "hint: migmon pause --help"),
    ],
)
def test_usage_errors_name_what_is_wrong_and_where_help_is(migmon: Migmon, arguments: list[str], said: str) -> None:
    done = migmon(*arguments)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_files_that_picks_nothing_says_so(tmp_path: Path) -> None:
    with running(tmp_path, {"execution.files": always(api.TaskPage((), None))}) as migmon:
        picking, all_ = migmon("files", "media", "--state", "failed"), migmon("files", "media")
    assert (picking.stdout, picking.stderr) == ("", "no entry is picked by these flags\n")
    assert all_.stderr == "there is no entry yet\n"


@pytest.mark.parametrize(("state", "undo"), [("running", True), ("drained", True), ("completed", False)])
def test_what_has_ended_offers_no_undo(tmp_path: Path, state: str, undo: bool) -> None:
    record = InterventionView("i-1", DONE.id, "pause", "ana", AT, "", "running", "paused", "migmon resume 8f3a1c")
    view = execution(state=state)
    handlers = {"execution.get": always(view), "execution.interventions": always(InterventionList((record,)))}
    with running(tmp_path, handlers) as migmon:
        assert ("UNDO" in (text := migmon("interventions", "media").stdout)) is undo
    assert ("migmon resume" in text) is undo


def test_one_is_no_plural(tmp_path: Path) -> None:
    verdict = msgspec.structs.replace(VERDICT, files=1)
    with running(tmp_path, {"plan.check": always(verdict)}) as migmon:
        assert " 1 file, " in migmon("plan", "a", "b").stdout


def test_another_machine_is_not_taken_for_a_directory(migmon: Migmon) -> None:
    done = migmon("plan", "a", "nohost:/x")
    assert (done.returncode, done.stderr.startswith("error: nohost:/x would be another machine's")) == (2, True)
    (migmon.directory / "c:d").mkdir()
    for path in ("c:d/e", "./nohost:/x", "a/b:c", "/a:b"):
        assert migmon("plan", path, "b").returncode == 0


@pytest.mark.parametrize("script", ["bench", "faults"])
def test_help_of_a_script_installs_nothing(tmp_path: Path, script: str) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    command = [sys.executable, str(tmp_path / "scripts" / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr, (tmp_path / ".venv").exists()) == (0, "", False)
    assert "All options are shown once scripts/setup has made .venv" in done.stdout


def test_the_list_of_commands_is_whole_on_any_terminal(migmon: Migmon) -> None:
    listed = migmon("--help", environment={"COLUMNS": "80"}).stdout.partition("\nCommands:\n")[2].splitlines()
    assert len(listed) > 20
    assert [line for line in listed if line.endswith("...")] == []


def test_ctrl_c_in_quickstart_says_once_that_all_ends(tmp_path: Path) -> None:
    trees.small_files(tmp_path / "source", 5000, 100, random.Random(1))
    (work := tmp_path / "work").mkdir()
    launcher = (  # whoever runs the tests in the background ignores it, and bash would not start to obey
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
        " os.execv('scripts/quickstart', ['scripts/quickstart', sys.argv[1]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", launcher, str(tmp_path / "source")], cwd=ROOT, text=True,
        env={**os.environ, "TMPDIR": str(work)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any(work.glob("*/copy/*")):
        assert (process.poll(), time.monotonic() < deadline) == (None, True)
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "stopped; this quickstart's daemon ends with it\n"
    assert list(work.iterdir()) == []


def test_what_was_not_kept_is_looked_up_in_one_way(tmp_path: Path) -> None:
    lossy = ended(progress=progress(imperfect=2))
    over = Subscription(1, 7, False, (lossy,))
    with running(tmp_path, {"events.subscribe": always(over), "execution.get": always(lossy)}) as migmon:
        ran, shown = migmon("run", "a", "b").stderr, migmon("show", "media").stdout
    assert "2 kept content but not all metadata: migmon files 8f3a1c\n" in ran
    assert "kept content but not all metadata (migmon files 8f3a1c)\n" in shown


@pytest.mark.parametrize(
    ("kinds", "code"),
    [(["not_permitted"], 5), (["not_writable"], 5), (["not_writable", "space"], 7), (["plan_infeasible"], 7)],
)
def test_a_plan_that_is_not_permitted_ends_as_the_run_would(tmp_path: Path, kinds: list[str], code: int) -> None:
    blockers = tuple(api.Finding("blocker", kind, "no") for kind in kinds)
    verdict = msgspec.structs.replace(VERDICT, feasible=False, findings=blockers)
    with running(tmp_path, {"plan.check": always(verdict)}) as migmon:
        assert [migmon(*words).returncode for words in (["plan", "a", "b"], ["run", "a", "b", "-n"])] == [code, code]


def test_what_drains_is_not_said_to_go_on(tmp_path: Path) -> None:
    with running(tmp_path, {"execution.resume": always(execution(state="draining"))}) as migmon:
        done = migmon("resume", "media")
    assert done.returncode == 0
    assert "it drains as before (resume it once more" in done.stdout
    assert "goes on" not in done.stdout
    assert "Undo" not in done.stderr


@pytest.mark.parametrize(("wrong", "meant"), [("Pictures", False), ("Vidoes", True)])
def test_only_a_name_that_is_near_is_suggested(tmp_path: Path, wrong: str, meant: bool) -> None:
    listed = api.ExecutionPage((execution(name="Videos"),), 1)
    missing = refuse("not_found", f"no migration matches '{wrong}'", "migmon ls")
    with running(tmp_path, {"execution.get": missing, "execution.list": always(listed)}) as migmon:
        done = migmon("show", wrong)
    assert (done.returncode, "did you mean Videos" in done.stderr) == (4, meant)
