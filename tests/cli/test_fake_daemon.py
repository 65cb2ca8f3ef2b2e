"""`migmon` as a process against a daemon of canned answers: JSON shapes, exit codes, broken connections."""

from __future__ import annotations

import datetime
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from canned import DONE, RUNNING, TASK, VERIFICATION, Migmon, always, read_until, refuse, running
from fake_daemon import Connection, FakeDaemon, HangUp, Refusal
from fake_views import AT, ended, execution
from migmond.domain import api, daemon_api
from migmond.domain.analysis import ShareView, TimeView, WhyView
from migmond.domain.error_api import ErrorGroup, ErrorGroups
from migmond.domain.event_api import Subscription
from migmond.domain.events import ExecutionStateChanged
from migmond.domain.history import HistoryView
from migmond.domain.steering_api import InterventionList, InterventionView


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (["ls"], "executions", 0),
        (["top"], "executions", 0),
        (["top", "media"], "execution", 0),
        (["show", "media"], "execution", 0),
        (["files", "media"], "file", 0),
        (["errors", "media"], "errors", 0),
        (["interventions", "media"], "interventions", 0),
        (["watch", "media"], "event", 0),
        (["plan", "a", "b"], "verdict", 0),
        (["run", "a", "b"], "execution", 0),
        (["run", "a", "b", "--detach"], "execution", 0),
        (["run", "a", "b", "-n"], "verdict", 0),
        (["pause", "media"], "execution", 0),
        (["resume", "media"], "execution", 0),
        (["cancel", "media"], "execution", 0),
        (["drain", "media"], "execution", 0),
        (["verify", "media"], "verification", 0),
        (["status"], "status", 0),
        (["doctor"], "checks", 0),
        (["config"], "config", 0),
        (["plugins"], "plugins", 0),
        (["metrics"], "samples", 0),
        (["metrics", "--meaning"], "metrics", 0),
        (["metrics", "--notes"], "notes", 0),
        (["report", "media"], "report", 0),
        (["report", "--since", "30d"], "report_since", 0),
        (["compare", "media", "other"], "comparison", 0),
        (["rpc", "system.hello"], "result", 0),
    ],
)
def test_every_command_has_json_before_or_after_its_name(
    migmon: Migmon, arguments: list[str], kind: str, code: int
) -> None:
    after, before = migmon(*arguments, "--json"), migmon("--json", *arguments)
    for done in (after, before):
        assert done.returncode == code, done.stderr
        envelopes = [json.loads(line) for line in done.stdout.splitlines()]
        assert envelopes
        assert all((e["migmon"], e["kind"]) == (1, kind) and e["data"] for e in envelopes)
    assert before.stdout == after.stdout


@pytest.mark.parametrize(
    ("kind", "code"),
    [("not_found", 4), ("not_permitted", 5), ("conflict", 1), ("plan_infeasible", 7), ("invalid_input", 2), ("x", 1)],
)
def test_what_the_daemon_refuses_ends_with_its_code(tmp_path: Path, kind: str, code: int) -> None:
    with running(tmp_path, {"execution.pause": refuse(kind, "it \x1b[2Jwill not", "do that")}) as migmon:
        done = migmon("pause", "media")
    assert done.returncode == code
    assert done.stderr == "error: it \\x1b[2Jwill not\nhint: do that\n"
    assert done.stdout == ""


def test_at_most_three_names_are_suggested(tmp_path: Path) -> None:
    many = api.ExecutionPage(tuple(execution(id=str(i), name=f"photos-{i}") for i in range(9)), 9)
    handlers = {"execution.get": refuse("not_found", "no migration matches 'phtos-1'"), "execution.list": always(many)}
    with running(tmp_path, handlers) as migmon:
        done = migmon("show", "phtos-1")
    assert done.returncode == 4
    assert "did you mean photos-1 or" in done.stderr
    assert done.stderr.count("photos-") == 3


@pytest.mark.parametrize(
    ("state", "code"), [("completed", 0), ("completed_with_errors", 6), ("failed", 1), ("cancelled", 1), ("drained", 1)]
)
def test_run_ends_as_the_migration_does(tmp_path: Path, state: str, code: int) -> None:
    over = Subscription(1, 7, False, (ended(state),))
    with running(tmp_path, {"events.subscribe": always(over)}) as migmon:
        assert migmon("run", "a", "b").returncode == code


def test_doctor_ends_with_1_only_for_an_error(tmp_path: Path) -> None:
    for severity, code in (("warning", 0), ("error", 1)):
        found = daemon_api.Checks((daemon_api.Check("space", severity, "little", "make room"),))
        directory = tmp_path / severity
        directory.mkdir()
        with running(directory, {"system.doctor": always(found)}) as migmon:
            done = migmon("doctor")
        assert done.returncode == code
        assert "make room" in done.stdout


def test_files_asks_page_by_page_and_sends_the_selector(tmp_path: Path) -> None:
    def page(connection: Connection, params: dict[str, Any]) -> api.TaskPage:
        after = params.get("after", 0)
        numbers = range(after + 1, min(after + params["limit"], 2500) + 1)
        tasks = tuple(msgspec.structs.replace(TASK, number=n, path=f"f{n}") for n in numbers)
        return api.TaskPage(tasks, numbers[-1] if numbers[-1] < 2500 else None)

    with running(tmp_path, {"execution.files": page}) as migmon:
        everything = migmon("files", "media", "--include", "*.jpg", "--larger-than", "1GiB", "--under", "a/b/")
        assert [line.split()[-1] for line in everything.stdout.splitlines()] == [f"f{n}" for n in range(1, 2501)]
        asked = migmon.daemon.parameters("execution.files")
        assert [p.get("after", 0) for p in asked] == [0, 1000, 2000]
        assert asked[0]["selector"] == {"include": ["*.jpg"], "larger_than": 1 << 30, "under": "a/b"}
        some = migmon("files", "media", "--limit", "1001")
        assert len(some.stdout.splitlines()) == 1001
        assert [p["limit"] for p in migmon.daemon.parameters("execution.files")[3:]] == [1000, 1]


def test_a_pipe_gets_names_whole(tmp_path: Path) -> None:
    long = msgspec.structs.replace(TASK, path="d/" * 400 + "f")
    with running(tmp_path, {"execution.files": always(api.TaskPage((long,), None))}) as migmon:
        assert migmon("files", "media").stdout.rstrip().endswith("  " + long.path)
        assert "…" in migmon("files", "media", environment={"COLUMNS": "60"}).stdout


def test_ls_keeps_what_still_runs_however_old(tmp_path: Path) -> None:
    old = execution(id="aa0000", name="old", state="paused")

    def listed(connection: Connection, params: dict[str, Any]) -> api.ExecutionPage:
        return api.ExecutionPage((old,), 1) if params.get("states") else api.ExecutionPage((DONE,), 70)

    with running(tmp_path, {"execution.list": listed}) as migmon:
        lines = migmon("ls", "--limit", "1").stdout.splitlines()
        assert [line.split()[1] for line in lines[1:3]] == ["old", "media"]
        assert lines[3] == "and 68 more (--limit)"
        assert len(migmon("ls", "--sort", "name", "--limit", "1").stdout.splitlines()) == 3


def test_paths_are_the_callers_bytes(migmon: Migmon) -> None:
    link = migmon.directory / "link"
    link.symlink_to("/usr")
    migmon("run", b"link/\xff\n", b"b\\c/", "--detach")
    plan = migmon.daemon.parameters("execution.start")[0]["plan"]
    assert plan["sources"] == [{"path": f"{migmon.directory}/link/\\xff\\x0a"}]
    assert plan["destination"] == f"{migmon.directory}/b\\\\c"
    migmon("run", "link/../a", "/x//y/", "--detach")
    plan = migmon.daemon.parameters("execution.start")[1]["plan"]
    # link/.. is the parent of what link points to
    assert plan["sources"] == [{"path": "/a"}]
    assert plan["destination"] == "/x/y"


def test_a_plan_takes_the_limits_that_a_running_migration_takes(migmon: Migmon) -> None:
    limits = ("--io", "1MiB", "--cpu", "150%", "--memory", "1GiB", "--ops", "20/s", "--timetable", "19:00,off")
    migmon("run", "a", "b", "--detach", *limits)
    migmon("run", "a", "b", "--detach", "--io", "off", "--cpu", "80", "--timetable", "off")
    some, none = (found["plan"]["limits"] for found in migmon.daemon.parameters("execution.start"))
    assert some == {
        "io_bytes_per_s": 1 << 20, "cpu_percent": 150.0, "memory_bytes": 1 << 30, "io_ops_per_s": 20.0,
        "timetable": "19:00,off",
    }  # fmt: skip
    assert none == {"cpu_percent": 80.0}
    for wrong, words in (
        ("--ops", "is no number of operations"),
        ("--memory", "is not a size"),
        ("--cpu", "write 80%"),
    ):
        assert words in migmon("run", "a", "b", wrong, "much").stderr
    assert len(migmon.daemon.parameters("execution.start")) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "", "b"], "a path is empty"),
        (["run", "a", ""], "a path is empty"),
        (["run", "weekly", "--move"], "--move does not go with a saved plan"),
        (["run", "weekly", "--exclude", "x"], "--exclude does not go with a saved plan"),
        (["run", "weekly", "--cross-mounts"], "--one-file-system/--cross-mounts does not go"),
        (["run", "a", "b", "--detach", "--timeout", "5s"], "--timeout"),
        (["run", "a", "b", "--name", b"\xff"], "not valid UTF-8: \\xff"),
        (["show", b"\xff"], "not valid UTF-8"),
        (["ls", "--state", "nosuch"], "nosuch"),
        (["rpc", "system.hello", "[]"], "must be a JSON object"),
    ],
)
def test_usage_errors_start_nothing(migmon: Migmon, arguments: list[str | bytes], words: str) -> None:
    done = migmon(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "hint: " in done.stderr
    assert migmon.daemon.calls == []


def test_a_saved_plan_may_get_a_name_of_its_own(migmon: Migmon) -> None:
    assert migmon("run", "weekly", "--name", "monday", "--detach").returncode == 0
    started = migmon.daemon.parameters("execution.start")[0]
    assert (started["plan_name"], started["name"]) == ("weekly", "monday")


def test_changes_carry_duration_and_reason(migmon: Migmon) -> None:
    migmon("--reason", "lunch", "pause", "media", "--for", "1h30m")
    assert migmon.daemon.parameters("execution.pause") == [{"id": "media", "for_s": 5400.0, "reason": "lunch"}]


@pytest.mark.parametrize("command", ["pause", "resume", "cancel", "drain"])
def test_a_dry_run_changes_nothing(migmon: Migmon, command: str) -> None:
    assert "would be" in migmon(command, "media", "-n").stdout
    assert migmon.daemon.parameters(f"execution.{command}") == []


def test_the_wait_can_end_before_the_migration(tmp_path: Path) -> None:
    with running(tmp_path, {"events.subscribe": always(Subscription(1, 7, False, (RUNNING,)))}) as migmon:
        done = migmon("run", "a", "b", "--timeout", "600ms")
        assert done.returncode == 124
        assert "it goes on" in done.stderr


def test_a_daemon_that_stays_away_is_3_and_nothing_is_lost(tmp_path: Path) -> None:
    def leave(connection: Connection, params: dict[str, Any]) -> Any:
        (tmp_path / "socket").unlink(missing_ok=True)
        raise HangUp

    patience = "import migmond.cli.follow; migmond.cli.follow.RECONNECT_S = 0.5"
    with running(tmp_path, {"events.subscribe": leave}) as migmon:
        done = migmon("run", "a", "b", code=patience)
    assert done.returncode == 3
    assert "waiting for it to come back" in done.stderr
    assert "the journal keeps the state; start it again and it resumes" in done.stderr


def test_ones_own_patience_ends_while_the_daemon_is_away(tmp_path: Path) -> None:
    def leave(connection: Connection, params: dict[str, Any]) -> Any:
        (tmp_path / "socket").unlink(missing_ok=True)
        raise HangUp

    with running(tmp_path, {"events.subscribe": leave}) as migmon:
        assert migmon("run", "a", "b", "--timeout", "300ms").returncode == 124


def test_events_go_on_where_the_connection_broke(tmp_path: Path) -> None:
    def subscribe(connection: Connection, params: dict[str, Any]) -> Subscription:
        if params.get("since") is None:
            connection.notify(ExecutionStateChanged(5, AT, RUNNING.id, "paused", "running", RUNNING))
            connection.hang_up = True
            return Subscription(1, 4, False, (RUNNING,))
        connection.notify(ExecutionStateChanged(6, AT, RUNNING.id, "running", "completed", DONE))
        return Subscription(2, 6, True, (DONE,))

    with running(tmp_path, {"events.subscribe": subscribe}) as migmon:
        done = migmon("watch", "media", "--json")
        assert [p.get("since") for p in migmon.daemon.parameters("events.subscribe")] == [None, 5]
    assert done.returncode == 0
    assert [json.loads(line)["data"]["id"] for line in done.stdout.splitlines()] == [5, 6]
    assert "events were lost" in done.stderr


@pytest.mark.parametrize("command", [["run", "a", "b"], ["watch", "media"]])
def test_ctrl_c_says_that_it_goes_on(tmp_path: Path, command: list[str]) -> None:
    waiting = threading.Event()

    def silent(connection: Connection, params: dict[str, Any]) -> Subscription:
        waiting.set()
        return Subscription(1, 7, False, (RUNNING,))

    with running(tmp_path, {"events.subscribe": silent}) as migmon:
        process = migmon.start(*command, stdin=subprocess.DEVNULL)
        assert waiting.wait(30)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert migmon.daemon.parameters("execution.cancel") == []
    assert process.returncode == 130
    assert b"goes on in the background" in said
    assert b"Traceback" not in said


@pytest.mark.parametrize("late", [False, True])
def test_ctrl_c_ends_a_verification(tmp_path: Path, late: bool) -> None:
    """`late`: it had just ended by itself."""
    waiting = threading.Event()

    def verify(connection: Connection, params: dict[str, Any]) -> api.ExecutionView:
        waiting.set()
        return verifying

    def cancel(connection: Connection, params: dict[str, Any]) -> api.ExecutionView:
        if late:
            raise Refusal("conflict", "media is not being verified")
        return ended()

    verifying = ended(why="verifying: 1 of 2 entries")
    handlers = {
        "events.subscribe": always(Subscription(1, 7, False, (RUNNING,))),
        "execution.get": always(verifying),
        "execution.verify": verify,
        "execution.cancel_verification": cancel,
    }
    with running(tmp_path, handlers) as migmon:
        process = migmon.start("verify", "media", stdin=subprocess.DEVNULL)
        assert waiting.wait(30)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert migmon.daemon.parameters("execution.cancel_verification") == [{"id": DONE.id}]
        assert migmon.daemon.parameters("execution.cancel") == []
    assert process.returncode == 130
    assert b"is not verified any more" in said
    assert b"Traceback" not in said


def test_a_verification_that_breaks_is_a_failure_whatever_it_found(tmp_path: Path) -> None:
    broken = msgspec.structs.replace(VERIFICATION, mismatches=0, failure="a mover died while it verified")
    with running(tmp_path, {"execution.get": always(ended(verification=broken))}) as migmon:
        told, data = migmon("verify", "media"), migmon("verify", "media", "--json")
        shown = migmon("show", "media")
    assert (told.returncode, told.stdout, data.returncode) == (1, "", 1)
    assert "a mover died" in told.stderr
    assert json.loads(data.stdout)["data"]["failure"] == broken.failure
    assert "did not end: a mover died" in shown.stdout


def test_differences_end_with_6(tmp_path: Path) -> None:
    differing = msgspec.structs.replace(VERIFICATION, mismatches=1, examples=("a: it is a symlink now",))
    with running(tmp_path, {"execution.get": always(ended(verification=differing))}) as migmon:
        told = migmon("verify", "media")
    assert told.returncode == 6
    assert "1 DIFFERENCE" in told.stdout
    assert "a: it is a symlink now" in told.stdout


@pytest.mark.parametrize(("typed", "code"), [("media", 0), ("no", 2)])
def test_cancelling_a_move_takes_its_name(tmp_path: Path, typed: str, code: int) -> None:
    with running(tmp_path, {"execution.get": always(execution(operation="move"))}) as migmon:
        ours, theirs = pty.openpty()
        process = migmon.start("cancel", "media", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.write(ours, f"{typed}\n".encode())
        read_until(ours, b"cancelled;" if code == 0 else b"nothing was changed")
        assert process.wait(30) == code
        os.close(ours)
        assert len(migmon.daemon.parameters("execution.cancel")) == (1 if code == 0 else 0)


def test_top_draws_until_ctrl_c_and_outlives_a_lost_connection(tmp_path: Path) -> None:
    failing = msgspec.structs.replace(DONE, id="aa11bb22cc33", name="after", state="failed")
    pages = [api.ExecutionPage((RUNNING,), 1), None]

    def listed(connection: Connection, params: dict[str, Any]) -> api.ExecutionPage:
        page = pages.pop(0) if pages else api.ExecutionPage((failing, RUNNING), 2)
        if page is None:
            raise HangUp
        return page

    with running(tmp_path, {"execution.list": listed}) as migmon:
        ours, theirs = pty.openpty()
        terminal = {"TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
        process = migmon.start("top", stdin=theirs, stdout=theirs, stderr=theirs, environment=terminal)
        os.close(theirs)
        seen = read_until(ours, b"after")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        os.close(ours)
    text = seen.decode()
    assert "1 running or held, 0 of them with failures, 0 ended" in text
    assert "82.7%" in text
    assert "waiting for it to come back" in text
    assert "✗failed" in text


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ([], ("", "", 3600.0)),
        (["--since", "15m"], ("", "", 900.0)),
        (["--execution", "media"], (AT, "AFTER", 3600.0)),
        (["--execution", "media", "--since", "15m"], ("", "", 900.0)),
    ],
)
def test_a_plot_of_a_migration_is_of_all_its_time(
    tmp_path: Path, arguments: list[str], asked: tuple[str, str, float]
) -> None:
    nothing = HistoryView(AT, 1e9, 2.0, 2.0, 5, ())
    handlers = {"history.query": always(nothing), "execution.get": always(ended(started_at=AT, finished_at=AT))}
    with running(tmp_path, handlers) as migmon:
        done = migmon("history", "migmond_execution_bytes_total", *arguments)
        (sent,) = migmon.daemon.parameters("history.query")
    assert "nothing was recorded" in done.stdout
    after = (datetime.datetime.fromisoformat(AT) + datetime.timedelta(seconds=10)).isoformat()
    expected = (asked[0], after if asked[1] else "", asked[2])
    assert (sent.get("start", ""), sent.get("end", ""), sent.get("span_s", 3600.0)) == expected


def test_top_tells_what_keeps_back_who_runs(tmp_path: Path) -> None:
    binds = ShareView("target_write", "target write", 0.71, "sdc busy 94%")
    told = WhyView("execution", "", TimeView(60.0, (binds,), binds, "", "", ()))
    waits = msgspec.structs.replace(RUNNING, id="aa11bb22cc33", state="paused", why="paused by ana")
    pages = {"execution.list": always(api.ExecutionPage((RUNNING, waits), 2)), "execution.why": always(told)}
    with running(tmp_path, pages) as migmon:
        lines = migmon("top").stdout.splitlines()
        assert [line["id"] for line in migmon.daemon.parameters("execution.why")] == [RUNNING.id]
    assert any(RUNNING.name in line and line.endswith("target write 71% (sdc busy 94%)") for line in lines)
    assert any(line.endswith("paused by ana") for line in lines)


def test_text_of_others_cannot_reach_the_terminal_as_commands(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\n\x9b2J\u202e"
    hold = api.HoldView("h1", "user", evil, AT, None, evil)
    view = execution(name=evil, why=evil, holds=(hold,), sources=(evil,))
    record = InterventionView("i-1", view.id, "pause", evil, AT, evil, "running", "paused", evil)
    group = ErrorGroup("copy", "EIO", 5, evil, 1, AT, AT, (evil,), evil)
    handlers = {
        "execution.get": always(view),
        "execution.list": always(api.ExecutionPage((view,), 1)),
        "execution.interventions": always(InterventionList((record,))),
        "execution.errors": always(ErrorGroups((group,))),
    }
    with running(tmp_path, handlers) as migmon:
        for arguments in (["show", "x"], ["ls"], ["top"], ["interventions", "x"], ["errors", "x"]):
            for extra in ([], ["--json"]):
                done = migmon(*arguments, *extra)
                assert done.returncode == 0, done.stderr
                assert done.stdout.replace("\n", "").isprintable(), arguments
                assert "owned" in done.stdout
            assert json.loads(done.stdout)  # the last one was JSON and still is
        raw = migmon("rpc", "execution.get", '{"id": "x"}').stdout
        assert raw.replace("\n", "").isprintable()
        assert json.loads(raw)["why"] == evil


def test_colour_is_asked_for_and_never_the_only_sign(migmon: Migmon) -> None:
    plain, coloured = migmon("ls").stdout, migmon("ls", "--color", "always").stdout
    assert "\x1b" not in plain
    assert "\x1b[32m✓done\x1b[0m" in coloured
    assert coloured.replace("\x1b[32m", "").replace("\x1b[0m", "") == plain
    assert migmon("ls", "--color", "never").stdout == plain


def test_output_that_cannot_be_written_is_said_once(migmon: Migmon) -> None:
    with open("/dev/full", "wb") as full:
        for arguments in (["ls"], ["ls", "--json"], ["rpc", "system.hello"]):
            done = migmon(*arguments, stdout=full)
            assert done.returncode == 1
            assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_a_reader_that_leaves_is_not_told_off(migmon: Migmon) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as gone:
        for arguments in (["ls"], ["show", "media"], ["ls", "--json"], ["--help"], ["ls", "--help"]):
            done = migmon(*arguments, stdout=gone)
            assert (done.stderr, done.returncode) == ("", -signal.SIGPIPE)  # as cat and ls end


def test_an_old_terminal_gets_what_it_can_show(migmon: Migmon) -> None:
    done = migmon("ls", environment={"PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0
    assert "\\u2713done" in done.stdout


def test_a_daemon_that_talks_nonsense_is_no_usage_error(tmp_path: Path) -> None:
    with running(tmp_path, {"system.status": always({"version": 1})}) as migmon:
        done = migmon("status")
    assert done.returncode == 1
    assert "same version" in done.stderr


def test_without_a_command_there_is_help(migmon: Migmon) -> None:
    done = migmon()
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: migmon")
    assert "error" not in done.stderr.splitlines()[0]


def test_a_daemon_that_cannot_start_is_quoted(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "state" / "migmond" / "daemon.log"
    run.mkdir(mode=0o700)
    log.parent.mkdir(parents=True)
    log.write_text("words of an earlier daemon\n")
    (tmp_path / "config" / "migmond").mkdir(parents=True)
    (tmp_path / "config" / "migmond" / "migmond.toml").write_text("[movers]\nno_such_setting = 1\n")
    environment = {
        "MIGMOND_SOCKET": "",
        "XDG_RUNTIME_DIR": str(run),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    done = Migmon(FakeDaemon(tmp_path / "unused", {}), tmp_path)("ls", environment=environment)
    assert done.returncode == 3
    assert done.stderr.startswith("error: the daemon could not be started:\n")
    assert "no_such_setting" in done.stderr
    assert "earlier" not in done.stderr
    assert f"hint: the whole log is {log}" in done.stderr


def test_rich_and_trio_stay_out_of_quick_commands(migmon: Migmon) -> None:
    check = """
import atexit, sys
def report():
    sys.stderr.write("loaded: " + ",".join(m for m in ("trio", "rich", "asyncio", "subprocess") if m in sys.modules))
atexit.register(report)
"""
    for arguments in (["ls"], ["show", "media"], ["run", "a", "b"], ["--help"]):
        assert migmon(*arguments, "-q", code=check).stderr == "loaded: "


def test_a_mistyped_command_is_guessed(migmon: Migmon) -> None:
    done = migmon("reusme")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no such command 'reusme': did you mean resume?\n")


def test_a_path_without_a_destination_is_no_saved_plan(migmon: Migmon) -> None:
    done = migmon("run", "/mnt/a")
    assert done.returncode == 2
    assert "where to?" in done.stderr
    assert migmon.daemon.calls == []


def test_saving_says_when_it_replaces(tmp_path: Path) -> None:
    saved = api.SavedPlan("weekly", api.PlanSpec((api.SourceSpec("/a"),), "/b", name="weekly"), AT)
    handlers = {"plan.list": always(api.SavedPlans((saved,))), "plan.save": always(saved)}
    with running(tmp_path, handlers) as migmon:
        assert "an earlier plan of that name is replaced" in migmon("plan", "a", "b", "--save", "weekly").stderr
        assert "replaced" not in migmon("plan", "a", "b", "--save", "other").stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("migmon run Pic", "file,Pic"),
        ("migmon run a b --socket /tm", "file,/tm"),
        ("migmon show med", f"plain,{RUNNING.name}"),
        ("migmon pause 8f", f"plain,{RUNNING.id}"),
        ("migmon res", "plain,resume"),
        ("migmon rec", "plain,receipt"),
        ("migmon receipt med", f"plain,{RUNNING.name}"),
        ("migmon receipt --check rec", "file,rec"),
    ],
)
def test_completion_knows_files_and_migrations(migmon: Migmon, typed: str, offered: str) -> None:
    words = {"_MIGMON_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    assert offered in migmon(environment=words).stdout.splitlines()


def test_a_cancel_says_what_stays_when_it_has_ended(tmp_path: Path) -> None:
    views = [execution(), execution(state="cancelling"), ended("cancelled")]

    def get(connection: Connection, params: dict[str, Any]) -> api.ExecutionView:
        return views.pop(0) if len(views) > 1 else views[0]

    with running(tmp_path, {"execution.get": get, "execution.cancel": always(execution(state="cancelling"))}) as migmon:
        assert migmon("cancel", "media").stdout == "media (8f3a1c): cancelled; 1,000 entries stay there\n"


def test_closed_streams_are_no_crash(migmon: Migmon) -> None:
    for closing in (">&-", "2>&-", ">&- 2>&-"):
        program = f"{sys.executable} -m migmond.cli ls {closing}"
        done = subprocess.run(["sh", "-c", program], env=migmon.environment, capture_output=True, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_up_in_a_path_is_what_the_kernel_makes_of_it(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
    (tmp_path / "tree").symlink_to(tmp_path / "real")
    with running(tmp_path, {}) as migmon:
        migmon("run", "tree", "link/../copy")  # beside inner, not beside link
        migmon("run", "real/../tree", "./x/..//y/.")
    starts = migmon.daemon.parameters("execution.start")
    real = str(tmp_path.resolve())
    assert [(s["plan"]["sources"][0]["path"], s["plan"]["destination"]) for s in starts] == [
        (f"{tmp_path}/tree", f"{real}/real/copy"),
        (f"{real}/tree", f"{real}/y"),
    ]


def test_what_lacks_is_told_with_what_to_do_next(migmon: Migmon, tmp_path: Path) -> None:
    for command in ("pause", "retry", "show"):
        done = migmon(command)
        assert done.returncode == 2
        assert done.stderr.splitlines()[1] == f"hint: migmon ls lists migrations; migmon {command} --help"
    done = migmon("receipt", "--check", str(tmp_path / "nofile"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: No such file or directory: {tmp_path}/nofile",
        "hint: migmon receipt ID -o FILE writes one, --check FILE reads it",
    ]
