"""What a real daemon says of progress by parts over its socket, against a count of the tree and the entries that it
lists: through failures, kill -9 and a second try."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

import driving
from daemon import EmbeddedDaemon
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.breakdown import Batches, Breakdown, BreakdownParams, LargeFiles, LargeFilesParams, TimelineView
from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from part_trees import naive, random_tree

FIELDS = ("planned", "done", "failed", "skipped", "cancelled")
MIB = 1 << 20


def begin(socket: str, source: Path, target: Path, limits: Limits) -> str:
    spec = api.PlanSpec((api.SourceSpec(to_text(bytes(source))),), to_text(bytes(target)), limits=limits, workers=2)
    with Client(socket) as client:
        return client.call("execution.start", api.StartParams(spec), api.ExecutionView).id


def breakdown(socket: str, execution: str, *by: str) -> Breakdown:
    with Client(socket) as client:
        while True:
            found = client.call("execution.breakdown", BreakdownParams(execution, by, 10_000), Breakdown)
            if found.complete:
                return found
            assert "counted" in found.reason, found.reason


def listed(socket: str, execution: str) -> dict[str, Counter[str]]:
    """Count the entries that the daemon lists one by one, by state, in each directory down to two steps."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    after = 0
    with Client(socket) as client:
        while True:
            page = client.call("execution.files", api.FilesParams(execution, after=after, limit=1000), api.TaskPage)
            for task in page.tasks:
                steps = task.path.split("/")[:-1][:2] if task.path != "." else []
                where = sums["/".join(steps)]
                where["planned"] += 1
                where[task.state] += 1
            if page.next is None:
                return sums
            after = page.next


def check(socket: str, execution: str, source: Path) -> api.ExecutionView:
    """Everything that an ended execution says of itself is the same."""
    view = driving.look(socket, execution)
    assert view is not None
    for by in (("type",), ("size",), ("directory",), ("type", "size", "directory")):
        found = breakdown(socket, execution, *by)
        assert (found.left_out, found.growing) == (0, False)
        for field in FIELDS:
            total: api.TallyView = getattr(view.progress, field)
            assert getattr(found.sum, field) == total
            rows = [getattr(row, field) for row in found.rows]
            assert (sum(t.entries for t in rows), sum(t.bytes for t in rows)) == (total.entries, total.bytes)
    one_by_one = listed(socket, execution)
    for row in breakdown(socket, execution, "directory").rows:
        assert row.directory is not None
        told = {f: getattr(row, f).entries for f in FIELDS}
        where = "" if row.directory == str(source) else os.path.relpath(row.directory, source)
        assert told == {f: one_by_one[where][f] for f in FIELDS}
    return view


def test_what_is_said_over_the_socket_is_what_is_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    random_tree(source, 400)
    expected = naive(source)
    in_the_way = sorted(p.name for p in source.iterdir() if p.is_file() and not p.is_symlink())[:5]
    for name in in_the_way:
        (target / name).mkdir(parents=True)
    with EmbeddedDaemon(tmp_path / "home") as daemon:
        execution = begin(daemon.socket, source, target, Limits(io_bytes_per_s=2 * MIB))
        for kill in (1, 2):
            while (view := driving.look(daemon.socket, execution)) is None or view.progress.done.entries < 60 * kill:
                assert view is None or view.state in ("created", "running")
            daemon.kill(movers=True)
            daemon.start()
        found = driving.ended(daemon.socket, execution, 60)
        assert found is not None
        assert found.state == "completed_with_errors"
        assert check(daemon.socket, execution, source).progress.failed.entries == len(in_the_way)
        rows = breakdown(daemon.socket, execution, "type", "size").rows
        by_class: Counter[tuple[str, str]] = Counter()
        for (kind, size, _), tally in expected.items():
            by_class[kind, size] += tally.entries
        assert {(r.type, r.size): r.planned.entries for r in rows} == by_class
        for name in in_the_way:
            (target / name).rmdir()
        assert driving.resume(daemon.socket, execution) == ""
        found = driving.ended(daemon.socket, execution, 60)
        assert found is not None
        assert (found.state, check(daemon.socket, execution, source).progress.failed.entries) == ("completed", 0)
        with Client(daemon.socket) as client:
            told = client.call("execution.timeline", api.ExecutionParams(execution), TimelineView).milestones
        kinds = [m.kind for m in told]
        assert kinds[0] == "created"
        assert kinds.count("first byte") == kinds.count("scanned") == 1
        assert [m.text for m in told if m.kind == "percent"] == ["10 %", "25 %", "50 %", "75 %", "90 %", "100 %"]
        states = [m.text.split(";")[0] for m in told if m.kind == "state"]
        assert states == ["running", "completed_with_errors", "running", "completed"]
        assert {"copy", "link", "directories"} <= {m.text for m in told if m.kind == "stage"}
        assert next(m.text for m in told if m.kind == "intervention").startswith("resume by ")
        shown = daemon.migmon("show", execution, "--by", "type", "--by", "size", "--timeline", "--batches").stdout
        assert "all together" in shown
        assert "100 %" in shown
        as_json = daemon.migmon("--json", "show", execution, "--by", "directory").stdout
        assert msgspec.json.decode(as_json)["data"]["complete"] is True
        daemon.stop()
        daemon.start()  # what is kept is as it was
        check(daemon.socket, execution, source)
        with Client(daemon.socket) as client:
            again = client.call("execution.timeline", api.ExecutionParams(execution), TimelineView).milestones
            batches = client.call("execution.batches", api.ExecutionParams(execution), Batches)
        assert again == told
        assert sum(s.entries for s in batches.by_progress) > 0  # those of the last run at least
        assert sum(s.batches for s in batches.by_progress) >= len(batches.recent) > 0


def test_large_files_are_shown_one_by_one(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name, size in (("a.iso", 70 * MIB), ("b.iso", 65 * MIB), ("small", 100)):
        with open(source / name, "wb") as made:
            made.write(os.urandom(MIB) * (size // MIB) or b"x" * size)
    with EmbeddedDaemon(tmp_path / "home") as daemon, Client(daemon.socket) as client:
        execution = begin(daemon.socket, source, target, Limits(io_bytes_per_s=40 * MIB))

        def files() -> LargeFiles:
            return client.call("execution.large_files", LargeFilesParams(execution), LargeFiles)

        seen: list[float] = []
        while (view := driving.look(daemon.socket, execution)) is not None and view.state not in driving.ENDED:
            for file in files().files:
                if file.mover is not None:
                    assert (file.state, file.ended_at) == ("copying", None)
                    assert os.path.dirname(file.path) == str(source)
                    assert 0 <= file.bytes_done <= file.size
                    if file.seconds_remaining is not None:
                        assert file.bytes_per_s
                        seen.append(file.seconds_remaining)
                    else:
                        assert file.reason
        assert seen
        assert min(seen) < max(seen) < 60
        ended = files()
        assert sorted((os.path.basename(f.path), f.size) for f in ended.slowest if f.size > MIB) == [
            ("a.iso", 70 * MIB), ("b.iso", 65 * MIB)
        ]  # fmt: skip
        assert "a.iso" in daemon.migmon("show", execution, "--large").stdout
        daemon.stop()
        daemon.start()
    with EmbeddedDaemon(tmp_path / "home") as daemon, Client(daemon.socket) as client:
        kept = client.call("execution.large_files", LargeFilesParams(execution), LargeFiles)
        assert kept.slowest == ended.slowest
