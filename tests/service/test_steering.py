"""Interventions as people and programs make them: over the socket and the command line of a real daemon, which is
killed in the middle."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daemon import EmbeddedDaemon
from driving import ended, look
from migmond.client.errors import ClientError, RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from migmond.domain.steering import Throttle, Weight, Workers
from migmond.domain.steering_api import (
    ActionSpec,
    InterveneParams,
    InterventionList,
    InterventionResult,
    InterventionView,
    UndoParams,
)
from steering import texts_and_others

KILLS = 6


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon") as running:
        yield running


def begun(daemon: EmbeddedDaemon, tmp_path: Path) -> str:
    """Start a slow migration called media, and wait until it is scanned."""
    source = texts_and_others(tmp_path / "source", 2000)  # more than movers have in hand
    plan = api.PlanSpec(
        (api.SourceSpec(to_text(bytes(source))),), to_text(bytes(tmp_path / "target")), name="media", workers=2,
        limits=Limits(io_ops_per_s=20.0),
    )  # fmt: skip
    with Client(daemon.socket) as client:
        id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id
    deadline = time.monotonic() + 20
    while (view := look(daemon.socket, id_)) is None or view.progress.growing or view.state != "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return id_


def intervene(client: Client, id_: str, action: ActionSpec, **fields: object) -> InterventionResult:
    params = InterveneParams(id_, action, **fields)  # type: ignore[arg-type]
    return client.call("execution.intervene", params, InterventionResult)


def records(client: Client, id_: str) -> dict[str, InterventionView]:
    found = client.call("execution.interventions", api.ExecutionParams(id_), InterventionList)
    return {i.id: i for i in found.interventions}


def test_what_people_see(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    id_ = begun(daemon, tmp_path)[:6]
    made = daemon.migmon("throttle", "media", "--io", "5MiB/s", "--for", "1h", "--reason", "backup")
    assert re.fullmatch(rf"media \({id_}\): I/O \S+( \S+)? → 5 MiB/s until [\d:-]+( [\d:]+)?\..*\n", made.stdout)
    assert made.stderr == "Undo: migmon undo i-1\n"
    preview = daemon.migmon("workers", "media", "3", "-n").stdout
    assert preview.startswith(f"media ({id_}): would be workers 2 → 3.")
    assert "(active, until" in daemon.migmon("show", "media").stdout
    some = daemon.migmon("pause", "media", "*.txt").stdout
    assert re.match(rf"media \({id_}\): pending → held: '\*.txt' \(\d+ entries, .*\)\.", some)
    assert "hold h1 on '*.txt': user by" in daemon.migmon("show", "media").stdout
    nothing = daemon.migmon("skip", "media", "*.mp4")
    assert "nothing that the selector picks is pending: nothing is changed" in nothing.stdout
    untold = daemon.migmon("skip", "media", "--type", "video")  # names without an extension may be videos
    assert "the name does not tell the type, and nobody has read it yet; it counts when that is known" in untold.stdout
    assert "i-3 taken back." in daemon.migmon("undo").stdout
    assert daemon.migmon("undo").stdout.startswith(f"media ({id_}): held: '*.txt' → pending, i-2 taken back.")
    assert "i-1 taken back" in daemon.migmon("undo", "i-1").stdout
    again = daemon.migmon("undo", "i-1", check=False)
    assert again.returncode == 1
    assert "error: i-1 was taken back by" in again.stderr
    listed = daemon.migmon("interventions", "media").stdout
    assert re.search(r"i-1 .*throttle I/O 5 MiB/s .* backup +over", listed)
    stopped = daemon.migmon("stop-all").stdout
    assert re.match(rf"1 migration stopped within .*:\n  media \({id_}\) paused \(held: emergency\) at ", stopped)
    envelope = msgspec.json.decode(daemon.migmon("--json", "weight", "media", "2").stdout)
    assert envelope["kind"] == "intervention"
    assert envelope["data"]["effect"]["after"] == "weight 2"
    for arguments, words in (
        (("workers", "media", "0"), "use pause"),
        (("throttle", "media"), "no limit is given"),
        (("throttle", "media", "--io", "0"), "use pause"),
        (("throttle", "media", "--cpu", "much"), "write 80%"),
        (("throttle", "media", "--off", "--io", "1MiB"), "not both"),
        (("skip", "media"), "of which entries"),
        (("route", "media", str(tmp_path / "source" / "below")), "lies inside source"),
        (("reorder", "media", "*.txt"), "where to?"),
        (("reorder", "media", "*.txt", "--first", "--last"), "where to?"),
        (("reorder", "media", "*.txt", "--before", "no/such"), "no entry"),
        (("batch", "media", "0"), "no number of entries"),
        (("batch", "media", "9" * 30), "no number of entries"),
        (("workers", "media", "9" * 30), "too large"),
    ):
        refused = daemon.migmon(*arguments, check=False)
        assert refused.returncode in (2, 4, 7), arguments
        assert words in " ".join(refused.stderr.split()), arguments
    assert daemon.migmon("cancel", "media").returncode == 0


def test_a_preview_is_what_is_recorded_then_and_changes_nothing(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    id_ = begun(daemon, tmp_path)
    with Client(daemon.socket) as client:
        client.call("execution.pause", api.PauseParams(id_), api.ExecutionView)  # so that nothing moves in between
        for action in (Workers(3), Weight(3.0), Throttle(io_bytes_per_s=1 << 20)):
            seen = intervene(client, id_, action, dry_run=True)
            assert seen.intervention is None
            assert len(records(client, id_)) == len({*records(client, id_)})
            made = intervene(client, id_, action)
            assert made.intervention is not None
            told = made.intervention
            effect = seen.effect
            assert (told.before, told.after, told.entries, told.bytes) == (
                effect.before, effect.after, effect.entries, effect.bytes,
            )  # fmt: skip
        with pytest.raises(RemoteError, match="no intervention"):
            client.call("execution.undo", UndoParams("i-77"), InterventionResult)
        client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)
    assert ended(daemon.socket, id_, 30) is not None


def test_killed_at_any_moment_it_is_the_old_or_the_new_and_the_record_says_which(
    daemon: EmbeddedDaemon, tmp_path: Path
) -> None:
    """Changes and undos follow one another as fast as they can until the daemon is killed. What was answered holds."""
    id_, rng = begun(daemon, tmp_path), random.Random(5)
    answered: dict[str, bool] = {}
    """Of each change whether it was taken back."""
    for _ in range(KILLS):
        stop, asked = threading.Event(), list[str]()

        def meddle(
            asked: list[str] = asked, stop: threading.Event = stop, answered: dict[str, bool] = answered
        ) -> None:
            with contextlib.suppress(ClientError), Client(daemon.socket) as client:
                while not stop.is_set():
                    made = intervene(client, id_, Weight(rng.choice([0.5, 2.0, 3.0]))).intervention
                    assert made is not None
                    answered[made.id] = False
                    if rng.random() < 0.9:
                        asked.append(made.id)
                        client.call("execution.undo", UndoParams(made.id), InterventionResult)
                        answered[made.id] = True

        meddler = threading.Thread(target=meddle)
        meddler.start()
        time.sleep(rng.uniform(0.05, 0.4))
        daemon.kill(movers=True)
        stop.set()
        meddler.join(30)
        daemon.start()
        with Client(daemon.socket) as client:
            view = client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView)
            found = records(client, id_)
        in_force = {i.id for i in found.values() if i.ended_at is None and i.kind == "weight"}
        assert {c.id for c in view.changes} == in_force
        assert set(answered) <= set(found)
        for one, over in answered.items():
            if over:
                assert one not in in_force
            elif one != (asked[-1] if asked else None):  # of this one the undo was on its way
                assert one in in_force
        answered = {one: one not in in_force for one in found if found[one].kind == "weight"}
    assert len(answered) > KILLS
    with Client(daemon.socket) as client:
        client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)
    assert ended(daemon.socket, id_, 30) is not None


def test_a_route_by_command_line_survives_the_kill_of_everything(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    """To whichever destination each file went, the listing, the receipt and `show` say so, and a rollback finds it."""
    id_, more = begun(daemon, tmp_path), tmp_path / "more"
    source, target = tmp_path / "source", tmp_path / "target"
    preview = daemon.migmon("route", "media", "*.txt", str(more), "-n", check=False)
    assert preview.returncode == 0, preview.stderr
    assert not more.exists()
    made = daemon.migmon("route", "media", "*.txt", str(more))
    assert re.match(rf"media \({id_[:6]}\): to \S+target → \S+more for '\*.txt'", made.stdout)
    assert re.search(r"\d+ entries", made.stdout)
    assert made.stderr.endswith("Undo: migmon undo i-1\n")
    assert "what movers have in hand goes where it was going" in " ".join((made.stdout + made.stderr).split())
    for _ in range(3):
        daemon.kill(movers=True)
        daemon.start()
        time.sleep(0.3)
    assert f"and {more}" in daemon.migmon("show", "media").stdout
    with Client(daemon.socket) as client:
        intervene(client, id_, Throttle(io_ops_per_s=None))
    done = ended(daemon.socket, id_, 60)
    assert done is not None
    assert done.state == "completed", done.why
    names = {p.name: p.read_bytes() for p in source.iterdir()}
    here, there = {p.name for p in target.iterdir()}, {p.name for p in more.iterdir()}
    assert (here & there, here | there) == (set(), set(names))
    assert len(there) > 100
    assert all(name.endswith(".txt") for name in there)
    for name, content in names.items():
        assert ((more if name in there else target) / name).read_bytes() == content
    with Client(daemon.socket) as client:
        found = client.call("execution.files", api.FilesParams(id_, limit=3000), api.TaskPage).tasks
    said = {t.path: t.target_path for t in found if t.path != "."}
    assert said == {name: str((more if name in there else target) / name) for name in names}
    assert daemon.migmon("verify", "media").returncode == 0
    assert daemon.migmon("rollback", "media", "-y", "--detach").returncode == 0
    with Client(daemon.socket) as client:
        (back,) = client.call("execution.get", api.GetParams(id_), api.ExecutionView).rolled_back
        intervene(client, back.id, Throttle(io_ops_per_s=None))  # it has the limits of the plan
    undone = ended(daemon.socket, back.id, 60)
    assert undone is not None
    assert undone.state == "completed", undone.why
    assert not target.exists()
    assert list(more.iterdir()) == []
