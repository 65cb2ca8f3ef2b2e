"""`migmon rollback` against a real daemon."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import EmbeddedDaemon
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.rollback_api import RollbackOutlook, RollbackParams, RollbackPlanParams


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    for name in ("a.jpg", "b.txt", "sub/c.jpg"):
        (source / name).write_bytes(name.encode())
    return source


def names(place: Path) -> list[str]:
    return sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())


def test_it_shows_what_it_would_do_and_what_it_did(
    daemon: EmbeddedDaemon, source: Path, tmp_path: Path, other_fs: Path
) -> None:
    target = other_fs / "target"
    daemon.migmon("run", str(source), str(target), "--move", "--name", "letters")
    (target / "b.txt").write_bytes(b"edited")
    looked = daemon.migmon("rollback", "letters", "-n")
    assert looked.stdout.splitlines() == [
        "rollback of letters (a move):",
        f"  {target} → {source}",
        "✓ 2 entries, 14 B: moved back to where it came from",
        "! 1 entry, 5 B: changed since it was brought there: stays",
        "    b.txt: it has 6 bytes instead of 5",
    ]
    assert names(target) == ["a.jpg", "b.txt", "sub/c.jpg"]
    listed = daemon.migmon("rollback", "letters", "--list", "restore").stdout
    assert listed.splitlines() == ["a.jpg", "sub/c.jpg"]
    done = daemon.migmon("rollback", "letters", "-y", "--reason", "wrong disk")
    assert "rolled back in" in done.stderr
    assert "left as they are: 1 changed since" in done.stderr
    assert (names(source), names(target)) == (["a.jpg", "sub/c.jpg"], ["b.txt"])
    shown = daemon.migmon("show", "letters").stdout
    assert "rolled back by" in shown
    assert "(completed): 4 entries, 14 B" in shown
    assert "rollback" in daemon.migmon("interventions", "letters").stdout
    back = daemon.migmon("show", "rollback of letters").stdout
    assert "  rollback of " in back
    assert "completed" in back


def test_a_part_of_a_copy_as_json(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    daemon.migmon("run", str(source), str(target), "--name", "pictures")
    told = json.loads(daemon.migmon("rollback", "pictures", "-n", "--include", "*.jpg", "--json").stdout)
    assert [(f["fate"], f["entries"]["entries"]) for f in told["data"]["fates"]] == [("remove", 2)]
    ended = json.loads(daemon.migmon("rollback", "pictures", "-y", "--include", "*.jpg", "--json").stdout)
    assert (ended["data"]["state"], ended["data"]["operation"]) == ("completed", "rollback")
    assert (names(source), names(target)) == (["a.jpg", "b.txt", "sub/c.jpg"], ["b.txt"])
    assert not (target / "sub").exists()


def test_it_asks_for_the_name(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    daemon.migmon("run", str(source), str(target), "--name", "asked")
    unasked = daemon.migmon("rollback", "asked", check=False)
    assert unasked.returncode == 2
    assert "needs its name or -y" in unasked.stderr
    for answer, code in ((b"askd\n", 2), (b"asked\n", 0)):
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "migmond.cli", "--socket", daemon.socket, "rollback", "asked"]
        with subprocess.Popen(command, stdin=slave, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as asking:
            os.write(master, answer)
            _, told = asking.communicate(timeout=60)
        os.close(slave)
        os.close(master)
        assert asking.returncode == code, told.decode()
        assert target.exists() is (code != 0)
        assert b"3 entries" in told
    again = daemon.migmon("rollback", "asked", "-y", check=False)
    assert again.returncode == 7
    assert "the source does not exist" in again.stderr


def test_bad_input_is_told(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    daemon.migmon("run", str(source), str(tmp_path / "target"), "--name", "bad")
    unknown = daemon.migmon("rollback", "bad", "--list", "burn", check=False)
    assert "there is no fate 'burn'" in unknown.stderr
    with Client(daemon.socket) as client:
        for limit in (0, 10_001):
            with pytest.raises(RemoteError, match="limit"):
                client.call("execution.rollback_plan", RollbackPlanParams("bad", limit=limit), RollbackOutlook)
        with pytest.raises(RemoteError, match="request_id is too long"):
            client.call("execution.rollback", RollbackParams("bad", request_id="x" * 201), api.ExecutionView)
        first = client.call("execution.rollback", RollbackParams("bad", request_id="one"), api.ExecutionView)
        again = client.call("execution.rollback", RollbackParams("bad", request_id="one"), api.ExecutionView)
    assert again.id == first.id


def test_pages_of_one_fate(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    daemon.migmon("run", str(source), str(tmp_path / "target"), "--name", "pages")
    found, after = list[str](), 0
    with Client(daemon.socket) as client:
        for _ in range(4):
            params = RollbackPlanParams("pages", fate="remove", after=after, limit=1)
            page = client.call("execution.rollback_plan", params, RollbackOutlook)
            found += [e.path for e in page.examples]
            if page.next is None:
                break
            after = page.next
    assert sorted(found) == ["a.jpg", "b.txt", "sub/c.jpg"]


def test_what_is_missing_is_copied_again(daemon: EmbeddedDaemon, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    daemon.migmon("run", str(source), str(target), "--name", "again")
    (target / "a.jpg").unlink()
    assert "would be read and recovered" in daemon.migmon("recover", "again", "-n").stdout
    assert names(target) == ["b.txt", "sub/c.jpg"]
    done = daemon.migmon("recover", "again")
    assert "recovery of again" in done.stderr
    assert names(target) == names(source)
    assert "recover" in daemon.migmon("interventions", "again").stdout
    started = daemon.migmon("recover", "again", "--detach").stdout.strip()
    daemon.migmon("watch", started)
    daemon.migmon("run", str(source), str(tmp_path / "moved"), "--move", "--name", "moved away")
    refused = daemon.migmon("recover", "moved away", check=False)
    assert refused.returncode == 1
    assert "migmon rollback" in refused.stderr
