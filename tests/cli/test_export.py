"""`migmon export`: pages put together, byte for byte; nothing for a terminal to obey; files whole or not at all."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import Any

import pytest

from canned import Migmon, always, read_until, refuse, running
from fake_daemon import Connection
from migmond.domain.report import ExportPage

PAGES = {0: ("a,b\r\n\u2028x,\x1b[2J\r\n", 7), 7: ("", 9), 9: ('"y\r\nz",1\r\n', None)}
WHOLE = "".join(text for text, _ in PAGES.values()).encode()


def paged(connection: Connection, params: dict[str, Any]) -> ExportPage:
    text, following = PAGES[params.get("after", 0)]
    return ExportPage(params["table"], params["format"], text, text.count("\r\n"), following)


def test_pages_are_the_file(tmp_path: Path) -> None:
    with running(tmp_path, {"report.export": paged}) as migmon:
        process = migmon.start("export", "--format", "csv")
        out, _ = process.communicate(timeout=60)
        assert out == WHOLE
        said = migmon("export", "--format", "csv", "-o", "out.csv")
        assert (tmp_path / "out.csv").read_bytes() == WHOLE
        assert said.stderr == "out.csv: 4 rows\n"
        assert [p.get("after", 0) for p in migmon.daemon.parameters("report.export")] == [0, 7, 9] * 2
        assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o600


def test_a_terminal_gets_nothing_to_obey(tmp_path: Path) -> None:
    with running(tmp_path, {"report.export": paged}) as migmon:
        ours, theirs = pty.openpty()
        process = migmon.start("export", "--format", "csv", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = read_until(ours, b'z",1\r\n').decode()
        assert process.wait(30) == 0
        os.close(ours)
    assert seen.split("\r\n") == ["a,b", "\\xe2\\x80\\xa8x,\\x1b[2J", '"y', 'z",1', ""]


def test_what_breaks_off_leaves_no_file_and_an_old_one_alone(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    with running(tmp_path, {"report.export": refuse("history", "it is broken")}) as migmon:
        assert migmon("export", "--format", "json", "-o", "new").returncode == 1
        assert migmon("export", "--format", "json", "-y", "-o", "old").returncode == 1
        assert migmon("export", "--format", "json", "-o", "old").returncode == 2
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir() if p.is_file()] == [("old", "old")]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--format", "parquet"), ("--format", "csv", "--table", "files"), ("--format", "csv", "--table", "errors"),
        ("--format", "prometheus", "--table", "files"), ("--format", "prometheus", "media"), (), ("--format", "xml"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with running(tmp_path, {"report.export": always(ExportPage("", "csv", "", 0, None))}) as migmon:
        assert migmon("export", *arguments).returncode == 2
        assert migmon.daemon.parameters("report.export") == []


def test_what_is_asked_for_is_what_the_flags_say(migmon: Migmon) -> None:
    assert migmon("export", "media", "--format", "json", "--table", "history", "--since", "2h").returncode == 0
    assert migmon("export", "media", "--format", "csv").returncode == 0
    assert migmon("export", "--format", "prometheus").returncode == 0
    history, files, metrics = migmon.daemon.parameters("report.export")
    assert (history["table"], history["span_s"], history["execution"][:6]) == ("history", 7200.0, "8f3a1c")
    assert (files["table"], files["format"], files.get("span_s")) == ("files", "csv", None)
    assert (metrics.get("table", ""), metrics["format"]) == ("", "prometheus")
