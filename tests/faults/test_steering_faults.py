"""Daemons that die while they are steered, and people who steer while faults happen: short campaigns, as people run
them, other ones every day, and that the laboratory sees what there is to see."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import daily
import steering_cuts
import trees
from daemon import ROOT, EmbeddedDaemon
from driving import ended, look, resume, start
from forked import ForkedDaemon
from judge import Case, Harm, known
from loopfs import missing
from migmond.client.sync import Client
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.steering_api import StopAllParams, StopAllResult
from migmond_sqlite.checksums import load
from migmond_sqlite.connections import run
from migmond_sqlite.database import open_reader, open_writer
from oracle import differences
from partly import partly
from steering_cuts import SteeringCuts
from steering_kinds import KINDS
from trial import CONFIGURATION, lay_out, make_tree
from written import CANCELLED, DONE, FAILED, LEFT_OUT, SKIPPED, Row, Written

KINDS_A_DAY = 12
KIND = {kind.name: kind for kind in KINDS}


@pytest.fixture(autouse=True)
def root() -> None:
    if why := missing("ext4"):
        pytest.skip(why)


@pytest.fixture
def cuts(tmp_path: Path) -> Iterator[SteeringCuts]:
    with steering_cuts.laboratory(tmp_path / "work", "ext4", 7) as laboratory:
        yield laboratory


def faults(*arguments: str) -> list[str]:
    """Run a campaign and return the figures of its row."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "faults", *arguments, "--seed", str(daily.seed()), "--file-system", "ext4"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    head = arguments[0].removeprefix("--").replace("-", " ")
    (row,) = (line for line in done.stdout.splitlines() if line.startswith(f"{head}, ") and "trial" not in line)
    return row.split()[-7:]


def test_deaths_at_steps_of_every_kind_of_intervention() -> None:
    """One step of some kinds, of others every day; `scripts/faults --interventions 2000` goes through all of both."""
    first = daily.share(KINDS_A_DAY, len(KINDS))
    trials, hits, *harms = faults("--interventions", str(KINDS_A_DAY), "--first", str(first))
    assert trials == str(KINDS_A_DAY)
    assert int(hits) >= KINDS_A_DAY // 4  # runs differ: the last calls of a long one may be missed
    assert harms == ["0"] * 5


def test_every_step_of_one_kind_leads_to_the_old_or_the_new(cuts: SteeringCuts) -> None:
    """The transaction is the boundary: of deaths before and after it there are some of each."""
    kind = KIND["undo of skip, drained"]
    for number, point in enumerate(cuts.known(kind).steps):
        trial = cuts.kill(kind, point, number)
        assert trial.findings == [], (str(point), list(map(str, trial.findings)))
    assert cuts.seen["old"]
    assert cuts.seen["new"] + cuts.seen["new, answered"]


@pytest.mark.parametrize("what", ["record", "execution"])
def test_a_change_without_its_record_is_found_and_a_record_without_its_change(cuts: SteeringCuts, what: str) -> None:
    kind = KIND["weight, running"]
    steps = [p for p in cuts.known(kind).steps if p.call in ("sendto", "sendmsg", "fdatasync")]
    before: list[bytes] = []
    load()

    def meddle(state: Path, execution: str) -> None:
        with contextlib.closing(open_writer(state / "journal.db")) as journal:
            if what == "record":
                run(journal, "DELETE FROM intervention WHERE number = (SELECT max(number) FROM intervention)")
            else:
                run(journal, "UPDATE execution SET body = ? WHERE id = ?", (before[-1], execution))

    def remember(state: Path, execution: str) -> None:
        with contextlib.closing(open_reader(state / "journal.db")) as journal:
            before.append(run(journal, "SELECT body FROM execution WHERE id = ?", (execution,))[0][0])

    cuts.ready, cuts.meddle = remember, meddle
    trials = (cuts.kill(kind, point, 0) for point in steps)
    found = next((trial.findings for trial in trials if trial.hit and trial.findings), [])
    assert {f.harm for f in found} in ({Harm.DIFFERENT}, {Harm.LOST}), list(map(str, found))


@pytest.mark.parametrize(
    ("what", "trials"), [("kill-points", 6), ("errnos", 6), ("power-cuts", 6), ("interference", 4)]
)
def test_who_steers_while_faults_happen_loses_nothing(what: str, trials: int) -> None:
    found, hits, *harms = faults(f"--{what}", str(trials), "--steered")
    assert (found, harms) == (str(trials), ["0"] * 5)
    assert int(hits) >= 1  # what is steered is slow: many faults come too late, and say nothing


def test_the_judge_of_parts_sees_every_harm(tmp_path: Path) -> None:
    pristine, source, target = tmp_path / "pristine", tmp_path / "source", tmp_path / "target"
    make_tree(pristine, 1, files=9, large=0)
    lay_out(pristine, source)
    target.mkdir()
    paths = [f"small/{p.parent.name}/{p.name}".encode() for p in sorted((pristine / "small").glob("d*/f*"))]
    done, skipped, failed, cancelled, *_ = paths
    case = Case(pristine, known(pristine), source, target)

    def row(path: bytes, state: int) -> Row:
        return Row(1, path, state, LEFT_OUT if state == SKIPPED else 0, 0, 1500, 0, None, 0)

    others = [path for path in case.known if path and path not in (done, skipped, failed, cancelled)]
    rows = [row(done, DONE), row(skipped, SKIPPED), row(failed, FAILED), row(cancelled, CANCELLED)]
    rows += [row(path, CANCELLED) for path in others]
    journal = Written(rows)

    def here(path: bytes) -> Path:
        return source / path.decode()

    def there(path: bytes) -> Path:
        return target / path.decode()

    there(done).parent.mkdir(parents=True)
    here(done).rename(there(done))
    assert partly(case, journal, "cancelled") == []
    there(skipped).parent.mkdir(parents=True, exist_ok=True)
    there(failed).parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", here(skipped), there(skipped)], check=True)
    here(failed).write_bytes(b"spoilt")
    here(cancelled).unlink()
    (target / ".migmond-left").write_bytes(b"half")
    here(done).write_bytes(there(done).read_bytes())
    found = [str(f) for f in partly(case, journal, "cancelled")]
    for harm, text in (
        (Harm.DUPLICATE, "skipped, and at the target"),
        (Harm.CORRUPT, "failed, and its source was changed"),
        (Harm.LOST, "cancelled, and not at the source"),
        (Harm.DIFFERENT, "left behind in target"),
        (Harm.DUPLICATE, "moved, and still at the source"),
    ):
        assert any(line.startswith(f"{harm}: {text}") for line in found), (text, found)
    assert any("completed, and" in str(f) for f in partly(case, journal, "completed"))


@pytest.mark.parametrize("operation", list(Operation))
def test_all_is_stopped_then_killed_and_stays_stopped_until_it_is_resumed(
    tmp_path: Path, other_fs: Path, operation: Operation
) -> None:
    pristine, source, target = tmp_path / "pristine", tmp_path / "source", other_fs / "target"
    trees.small_files(pristine, 600, 500, random.Random(1))
    lay_out(pristine, source)
    with ForkedDaemon(tmp_path / "home", CONFIGURATION) as daemon:
        execution = start(daemon.socket, source, target, operation, limits=Limits(io_ops_per_s=300.0))
        while (view := look(daemon.socket, execution)) is None or view.progress.done.entries < 50:
            time.sleep(0.01)
        with Client(daemon.socket) as client:
            (stopped,) = client.call("system.stop_all", StopAllParams("smoke"), StopAllResult).stopped
        for _ in range(2):
            daemon.kill(movers=True)
            daemon.start()
            at_rest(daemon, execution, source, target)
        view = look(daemon.socket, execution)
        assert view is not None
        assert (view.state, [h.intervention for h in view.holds]) == ("paused", [stopped.intervention])
        assert resume(daemon.socket, execution) == ""
        done = ended(daemon.socket, execution, 60)
        assert done is not None
        assert done.state == "completed"
    assert differences(pristine, target) == []
    assert source.exists() is (operation is Operation.COPY)


def at_rest(daemon: EmbeddedDaemon, execution: str, source: Path, target: Path) -> None:
    """Nothing of it moves."""

    def there() -> tuple[int, int, object]:
        view = look(daemon.socket, execution)
        assert view is not None
        return len(list(source.rglob("*"))), len(list(target.rglob("*"))), view.progress.done

    before = there()
    time.sleep(0.5)
    assert there() == before
