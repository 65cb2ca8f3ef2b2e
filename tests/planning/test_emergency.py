"""What is held by itself, and when it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.hold import HoldReason
from migmond.fsys.power_supply import on_battery
from migmond.planning.emergency import Bounds, DiskKind, Emergencies, Facts, Step, Uses, verdict_of

MEDIA = Uses("media", frozenset({"sda", "sdb"}), frozenset({"/mnt/a"}))
MUSIC = Uses("music", frozenset({"sdc"}), frozenset({"/mnt/c"}))
BOTH = (MEDIA, MUSIC)
ALL = frozenset({"sda", "sdb", "sdc"})
MOUNTS = frozenset({"/", "/mnt/a", "/mnt/c"})
HOT, FAILING, GONE = "emergency: too hot sda", "emergency: disk failing sda", "emergency: vanished /mnt/a"


def held(uses: Uses, *authors: str) -> Uses:
    return Uses(uses.execution, uses.devices, uses.mounts, frozenset(authors))


def steps(found: Sequence[Step]) -> list[tuple[str, str, bool]]:
    return [(s.execution, s.author, s.hold) for s in found]


def test_a_hot_disk_holds_who_uses_it_until_it_has_been_cool_for_long() -> None:
    them, bounds = Emergencies(), Bounds(cool_for_s=10.0)

    def look(value: float | None, now: float, *, paused: bool = True) -> list[Step]:
        uses = (held(MEDIA, HOT) if paused else MEDIA, MUSIC)
        facts = Facts(temperatures={} if value is None else {"sda": value}, limits={"sda": 60.0})
        return them.look(facts, uses, bounds, now)

    assert look(59.9, 0, paused=False) == []
    (hold,) = look(60.0, 1, paused=False)
    assert hold == Step("media", HOT, HoldReason.THERMAL, "sda has 60 °C; 60 °C are too hot", hold=True)
    assert look(55.0, 2) == []  # cooler, not by enough
    assert look(52.0, 3) == []
    assert look(None, 8) == []  # nobody knows: its time begins anew
    assert look(52.0, 14) == []
    assert look(53.0, 20) == []  # and here
    assert look(51.0, 21) == look(51.0, 30.9) == []
    assert steps(look(51.0, 31)) == [("media", HOT, False)]
    assert look(51.0, 32, paused=False) == []
    assert steps(look(61.0, 33, paused=False)) == [("media", HOT, True)]


def test_a_disk_that_names_no_limit_is_judged_by_its_kind() -> None:
    kinds = {"sda": DiskKind.OTHER, "sdb": DiskKind.SSD, "nvme0n1": DiskKind.NVME}
    uses, bounds = Uses("all", frozenset({*kinds, "sdz"})), Bounds()

    def hot(celsius: float, **limits: float) -> set[str]:
        facts = Facts(temperatures=dict.fromkeys((*kinds, "sdz"), celsius), limits=limits, kinds=kinds)
        return {s.author.rpartition(" ")[2] for s in Emergencies().look(facts, [uses], bounds, 0)}

    assert hot(64.9) == set()
    assert hot(65.0) == {"sda", "sdz"}  # nobody knows what the last one is
    assert hot(70.0) == {"sda", "sdb", "sdz"}
    assert hot(79.9) == {"sda", "sdb", "sdz"}  # a busy NVMe disk, and all is well
    assert hot(80.0) == {*kinds, "sdz"}
    assert hot(80.0, nvme0n1=88.0, sda=85.0) == {"sdb", "sdz"}  # what they say themselves counts
    assert hot(60.0, sda=60.0) == {"sda"}


def test_whoever_resumes_it_is_not_overruled() -> None:
    them, hot = Emergencies(), Facts(temperatures={"sda": 90.0})
    assert steps(them.look(hot, BOTH, Bounds(), 0)) == [("media", HOT, True)]
    assert them.look(hot, BOTH, Bounds(), 1) == []
    third = Uses("third", frozenset({"sda"}))
    assert steps(them.look(hot, (*BOTH, third), Bounds(), 2)) == [("third", HOT, True)]  # but who comes new is held


def test_a_failing_disk_holds_once_and_for_good() -> None:
    them, bounds = Emergencies(), Bounds()
    says = Facts(failing={"sda": "sda says that it is failing (SMART)"})
    (hold,) = them.look(says, BOTH, bounds, 0)
    assert (hold.author, hold.reason) == (FAILING, HoldReason.DEVICE)
    assert hold.note.startswith("sda says that it is failing (SMART); resume it to go on")
    assert them.look(Facts(), (held(MEDIA, FAILING), MUSIC), bounds, 1) == []
    late = Uses("late", frozenset({"sda"}))
    assert steps(them.look(Facts(), (late,), bounds, 2)) == [("late", FAILING, True)]  # silence is not health
    assert them.look(Facts(well=frozenset({"sda"})), (held(MEDIA, FAILING), late), bounds, 3) == []
    assert them.standing == ()
    assert them.look(says, (MEDIA, late), bounds, 4) == []


def test_errors_of_the_kernel_count_within_their_window() -> None:
    them, bounds = Emergencies(), Bounds(errors=7, within_s=10.0)
    for now, count in ((0, 2), (5, 2), (10, 2), (14, 2)):
        assert them.look(Facts(errors={"sda": count}), BOTH, bounds, now) == []
    (hold,) = them.look(Facts(errors={"sda": 1}), BOTH, bounds, 14.5)
    assert hold.note.partition(";")[0] == "the kernel reported 7 errors of sda within 10 s"
    them.look(Facts(), BOTH, bounds, 30)
    assert them.standing == ()  # a cable that was loose: the next migration is not held for it


def test_errors_of_what_is_on_a_disk_hold_what_is_on_it_and_name_both() -> None:
    them, bounds = Emergencies(), Bounds(errors=7, within_s=10.0)
    image, beside = Uses("image", frozenset({"loop3", "sda"})), Uses("beside", frozenset({"sda"}))
    assert them.look(Facts(errors={"loop3": 6}, below={"loop3": ("sda",)}), (image, beside), bounds, 0) == []
    (hold,) = them.look(Facts(errors={"loop3": 1}, below={"loop3": ("sda",)}), (image, beside), bounds, 1)
    assert (hold.execution, hold.author) == ("image", "emergency: disk failing loop3")
    assert hold.note.startswith("the kernel reported 7 errors of loop3 (on sda) within 10 s; resume it")
    (verdict,) = them.standing
    assert verdict.about == "loop3"
    them.look(Facts(), (image, beside), bounds, 5)  # what it is on is remembered as long as its errors count
    assert [v.why for v in them.standing] == ["the kernel reported 7 errors of loop3 (on sda) within 10 s"]


def test_what_vanishes_is_missed_twice_and_comes_back() -> None:
    them, bounds = Emergencies(), Bounds()
    there, gone = Facts(disks=ALL, mounts=MOUNTS), Facts(disks=ALL, mounts=MOUNTS - {"/mnt/a"})
    paused = (held(MEDIA, GONE), MUSIC)
    assert them.look(gone, BOTH, bounds, 0) == them.look(gone, BOTH, bounds, 1) == []  # it never was there
    assert them.look(there, BOTH, bounds, 2) == []
    assert them.look(gone, BOTH, bounds, 3) == []
    assert them.look(there, BOTH, bounds, 4) == []
    assert them.look(gone, BOTH, bounds, 5) == []
    (hold,) = them.look(gone, BOTH, bounds, 6)
    assert hold == Step("media", GONE, HoldReason.DEVICE, "the mount /mnt/a has gone", hold=True)
    assert them.look(Facts(), paused, bounds, 7) == []  # nobody could look
    assert them.look(gone, paused, bounds, 8) == []
    assert steps(them.look(there, paused, bounds, 9)) == [("media", GONE, False)]
    pulled = Facts(disks=ALL - {"sdc"}, mounts=MOUNTS)
    assert them.look(pulled, BOTH, bounds, 10) == []
    assert steps(them.look(pulled, BOTH, bounds, 11)) == [("music", "emergency: vanished sdc", True)]


def test_a_daemon_that_starts_goes_on_with_what_was_held() -> None:
    them, bounds = Emergencies(), Bounds(cool_for_s=10.0)
    # After a restart nothing has been opened yet, so nobody knows what they use.
    left = (Uses("media", authors=frozenset({HOT})), Uses("music", authors=frozenset({GONE, "ana"})))
    facts = Facts(temperatures={"sda": 40.0}, mounts=MOUNTS - {"/mnt/a"}, disks=ALL)
    assert them.look(facts, left, bounds, 0) == []
    assert them.look(facts, left, bounds, 9) == []
    assert steps(them.look(facts, left, bounds, 10)) == [("media", HOT, False)]
    assert steps(them.look(Facts(mounts=MOUNTS, disks=ALL), left, bounds, 11)) == [("music", GONE, False)]


def test_on_battery_only_when_asked_for() -> None:
    them = Emergencies()
    assert them.look(Facts(on_battery=True), BOTH, Bounds(), 0) == []
    found = them.look(Facts(on_battery=True), BOTH, Bounds(on_battery=True), 1)
    assert [(s.author, s.reason) for s in found] == [("emergency: on battery", HoldReason.POWER)] * 2
    paused = (held(MEDIA, "emergency: on battery"), MUSIC)
    assert them.look(Facts(on_battery=None), paused, Bounds(on_battery=True), 2) == []
    assert steps(them.look(Facts(on_battery=False), paused, Bounds(on_battery=True), 3)) == [
        ("media", "emergency: on battery", False)
    ]


@pytest.mark.parametrize("off", ["disk_failing", "too_hot", "vanished"])
def test_each_can_be_turned_off(off: str) -> None:
    them, there = Emergencies(), Facts(disks=ALL, mounts=MOUNTS)
    facts = Facts({"sda": "bad"}, temperatures={"sda": 99.0}, disks=ALL, mounts=frozenset({"/"}))
    bounds = Bounds(**{name: name != off for name in ("disk_failing", "too_hot", "vanished")})
    them.look(there, BOTH, bounds, 0)
    them.look(facts, BOTH, bounds, 1)
    them.look(facts, BOTH, bounds, 2)
    kinds = {"disk_failing": "disk failing", "too_hot": "too hot", "vanished": "vanished"}
    assert {v.kind.value for v in them.standing} == set(kinds.values()) - {kinds[off]}
    them.look(facts, BOTH, Bounds(disk_failing=False, too_hot=False, vanished=False), 3)
    assert them.standing == ()


def test_only_emergencies_are_taken_for_ours() -> None:
    found = verdict_of("emergency: vanished /mnt/with space", "note")
    assert found is not None
    assert (found.about, found.author) == ("/mnt/with space", "emergency: vanished /mnt/with space")
    for author in ("ana", "emergency", "emergency: ", "emergency: hotter sda", "alert hot disk"):
        assert verdict_of(author, "") is None


@given(st.lists(st.tuples(st.sampled_from([None, 40.0, 52.0, 53.0, 60.0, 70.0]), st.integers(1, 8)), max_size=40))
def test_heat_against_a_naive_oracle(readings: list[tuple[float | None, int]]) -> None:
    them, bounds, past = (
        Emergencies(),
        Bounds(temperature=60.0, cooler_by=8.0, cool_for_s=10.0),
        list[tuple[float, float | None]](),
    )
    now, is_held = 0.0, False
    for value, step in readings:
        now += step
        past.append((now, value))
        facts = Facts(temperatures={} if value is None else {"sda": value})
        for one in them.look(facts, (held(MEDIA, HOT) if is_held else MEDIA,), bounds, now):
            is_held = one.hold
        assert is_held is _should_be_held(past)


def _should_be_held(past: list[tuple[float, float | None]]) -> bool:
    """From the whole past: once too hot, it is held until every reading of ten seconds on end was cool."""
    is_held = False
    for i, (at, value) in enumerate(past):
        if value is not None and value >= 60.0:
            is_held = True
        elif is_held:
            run = []
            for earlier, then in reversed(past[: i + 1]):
                if then is None or then > 52.0:
                    break
                run.append(earlier)
            if run and at - run[-1] >= 10.0:
                is_held = False
    return is_held


def test_batteries_as_sysfs_has_them(tmp_path: Path) -> None:
    def supply(name: str, **told: str) -> None:
        directory = tmp_path / "class/power_supply" / name
        directory.mkdir(parents=True, exist_ok=True)
        for key, text in told.items():
            (directory / key).write_text(f"{text}\n")

    assert on_battery(str(tmp_path)) is None
    supply("hidpp_battery_0", type="Battery", status="Discharging", scope="Device")
    assert on_battery(str(tmp_path)) is None
    supply("BAT0", type="Battery", status="Discharging")
    assert on_battery(str(tmp_path)) is True
    supply("AC", type="Mains", online="1")
    assert on_battery(str(tmp_path)) is False
    supply("AC", online="0")
    assert on_battery(str(tmp_path)) is True
    supply("BAT0", status="Full")
    assert on_battery(str(tmp_path)) is False
