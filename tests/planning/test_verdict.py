"""Facts in, findings out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain import api
from migmond.domain.plan import ConflictPolicy, Operation, Plan, Source
from migmond.domain.preflight import (
    Folding,
    Need,
    Promise,
    Quota,
    RootSurvey,
    Sight,
    Sighting,
    SourceFacts,
    Survey,
    TargetFacts,
)
from migmond.planning.filesystems import Abilities, abilities_of
from migmond.planning.keeping import name_sights, path_sights, size_sights, time_sights
from migmond.planning.verdict import Facts, judge, method_of, obstacles

MIB = 1 << 20


def target(file_system: str = "ext4", **more: object) -> TargetFacts:
    values: dict[str, object] = {
        "free_bytes": 100 * MIB, "free_inodes": 1000, "total_bytes": 1 << 40, "name_max": 255, "read_only": False,
        "writable": True, "device": 1, "total_inodes": 5000, **more,
    }  # fmt: skip
    return TargetFacts(file_system=file_system, **values)  # type: ignore[arg-type]


def facts(
    *targets: TargetFacts,
    need: Need | None = None,
    sights: dict[Sight, int] | None = None,
    promises: tuple[Promise, ...] = (),
    plan: Plan | None = None,
    root: bool = False,
) -> Facts:
    seen = {sight: Sighting(count, b"d/first") for sight, count in (sights or {}).items()}
    root_survey = RootSurvey(SourceFacts("ext4", compresses=False), need or Need(), seen)
    roots = targets or (target(),)
    plan = plan or Plan("p", tuple(Source(b"/s%d" % i) for i in range(len(roots))), b"/t")
    paths = tuple(b"/t%d" % i for i in range(len(roots)))
    survey = Survey(9, 5, 4, MIB, (root_survey,) * len(roots))
    exist, empty = (False,) * len(roots), (True,) * len(roots)
    return Facts(plan, paths, exist, empty, roots, survey, promises, root)


def findings(given: Facts) -> dict[str, api.Finding]:
    return {f.kind: f for f in judge(given)[0]}


def test_nothing_to_say() -> None:
    assert judge(facts())[0] == []


@given(st.dictionaries(st.sampled_from(Sight), st.integers(1, 9_999)), st.sampled_from(["ext4", "vfat", "cifs"]))
def test_every_sight_has_words(sights: dict[Sight, int], file_system: str) -> None:
    given = facts(target(file_system, xattrs=False, acls=False), sights=sights)
    found, _ = judge(given)
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=["blocker", "warning", "ok"].index)
    for f in found:
        assert "{" not in f.message
        if f.count:
            assert f.count == sights[Sight(f.kind)]
            assert f.example == "d/first"
    said = {f.kind for f in found}
    always = {Sight.UNREADABLE_FILE, Sight.MOUNT_POINT, Sight.WRITER, Sight.CONFLICT, Sight.PSEUDO, Sight.XATTRS}
    assert {s.value for s in always & sights.keys()} <= said


def test_what_the_target_keeps_is_said_to_be_kept() -> None:
    sights = {Sight.XATTRS: 12, Sight.ACL: 3, Sight.HARD_LINK: 3110, Sight.CAPABILITIES: 1}
    assert findings(facts(sights=sights, root=True))["preserved"].message == (
        "xattrs (12), ACLs (3), capabilities (1), hard links (3,110) preserved"
    )
    lost = findings(facts(target("vfat", xattrs=False, acls=False), sights=sights))
    assert "preserved" not in lost
    assert lost["hard_links"].severity == "warning"
    assert findings(facts(sights=sights))["capabilities"].severity == "warning"  # only root can keep them


@pytest.mark.parametrize(
    ("free", "severity", "words"),
    [(9, "blocker", "1.00 MiB short"), (11, "warning", "up to 1.00 MiB short"), (12, "", "")],
)
def test_a_shortage_is_a_blocker_only_when_it_is_certain(free: int, severity: str, words: str) -> None:
    found = findings(facts(target(free_bytes=free * MIB), need=Need(10 * MIB, 12 * MIB, 1, 1)))
    space = found.get("space")
    assert (space.severity if space else "") == severity
    if space is not None:
        assert words.replace("1.00", "1") in space.message


def test_promises_are_named_and_kept() -> None:
    held = (Promise("films (8f3a1c)", 1, 95 * MIB, 3, certain=True),)
    elsewhere = (Promise("other", 2, 95 * MIB, 3, certain=True),)
    need = Need(10 * MIB, 10 * MIB, 1, 1)
    found = findings(facts(need=need, promises=held))
    assert found["space"].severity == "blocker"
    assert "95 MiB of it promised to films (8f3a1c)" in found["space"].message
    assert findings(facts(need=need, promises=elsewhere)) == {}
    maybe = (Promise("films", 1, 95 * MIB, 3, certain=False),)
    assert findings(facts(need=need, promises=maybe))["space"].severity == "warning"
    assert findings(facts(target(free_bytes=1 << 40), need=need, promises=held))["reservations"].severity == "ok"


def test_a_quota_counts_like_a_disk() -> None:
    """design page HAZARDS row 14."""
    need = Need(10 * MIB, 12 * MIB, 50, 50)
    for quota, severity in ((9, "blocker"), (11, "warning"), (12, "")):
        found = findings(facts(target(quotas=(Quota("user", quota * MIB, None),)), need=need))
        assert (found["quota"].severity if "quota" in found else "") == severity
    assert "3 files over" in findings(facts(target(quotas=(Quota("group", None, 47),)), need=need))["quota"].message


def test_no_fixed_number_of_inodes_is_no_lack_of_them() -> None:
    need = Need(0, 0, 5, 5)
    assert "inodes" in findings(facts(target(free_inodes=0), need=need))
    assert "inodes" not in findings(facts(target(free_inodes=0, total_inodes=0), need=need))


@pytest.mark.parametrize("policy", ConflictPolicy)
def test_conflicts_are_only_trouble_when_nobody_has_decided(policy: ConflictPolicy) -> None:
    plan = Plan("p", (Source(b"/s"),), b"/t", conflict=policy)
    found = findings(facts(plan=plan, sights={Sight.CONFLICT: 3}))["conflicts"]
    assert found.severity == ("warning" if policy is ConflictPolicy.FAIL else "ok")


def test_a_type_that_says_nothing_is_not_named() -> None:
    found = findings(facts(target("fuseblk", xattrs=False), sights={Sight.XATTRS: 2}))
    assert found["xattrs"].message == "extended attributes of 2 entries are lost: the destination keeps none"


def test_obstacles_name_the_target() -> None:
    paths, closed = [b"/a", b"/b", b"/c", b"/d"], target(writable=False)
    found = list(obstacles(paths, [target(read_only=True), closed, closed, target()], [True, True, False, True]))
    assert [(f.kind, f.severity, f.message.split()[0]) for f in found] == [
        ("read_only", "blocker", "/a"),
        ("not_writable", "blocker", "/b"),
        ("not_writable", "warning", "/c"),
    ]


def test_folding_is_said_as_it_was_found() -> None:
    sights = {Sight.COLLISION: 14}
    case = findings(facts(target("fuseblk", folding=Folding.CASE), sights=sights))["collisions"].message
    assert case == "14 names differ only in case; destination folds case"
    assert "if the destination folds" in findings(facts(target("cifs"), sights=sights))["collisions"].message


def test_what_a_directory_shows_goes_before_what_its_type_says() -> None:
    assert abilities_of(target("ext4", folding=Folding.UNICODE)).folding is Folding.UNICODE
    assert abilities_of(target("vfat")).folding is Folding.CASE
    assert abilities_of(target("hfsplus", folding=Folding.CASE)).folding is Folding.UNICODE
    assert abilities_of(target("vfat", folding=Folding.NONE)).folding is Folding.NONE
    assert not abilities_of(target("something-new")).known


FAT = abilities_of(target("vfat"))


@pytest.mark.parametrize(
    ("name", "abilities", "sights"),
    [
        (b"a" * 255, Abilities(), []),
        (b"a" * 256, Abilities(), [Sight.NAME_LENGTH]),
        (b"a:b", FAT, [Sight.NAME_CHARACTERS]),
        (b"tab\t", FAT, [Sight.NAME_CHARACTERS]),
        (b"\xff", FAT, [Sight.NAME_CHARACTERS]),
        (b"\xff", Abilities(), []),
        ("写".encode() * 85, FAT, []),
    ],
)
def test_names(name: bytes, abilities: Abilities, sights: list[Sight]) -> None:
    assert list(name_sights(name, target(), abilities)) == sights


def test_sizes_times_and_paths() -> None:
    four_gib = 1 << 32
    assert list(size_sights(four_gib, four_gib, FAT)) == [Sight.FILE_SIZE]
    assert list(size_sights(four_gib - 1, four_gib - 1, FAT)) == []
    assert list(size_sights(1 << 20, 0, FAT)) == [Sight.HOLES]
    assert list(size_sights(1 << 20, 0, Abilities())) == []
    assert list(time_sights(1_600_000_000, 0, FAT)) == []
    assert list(time_sights(1_600_000_001, 0, FAT)) == [Sight.TIME_STEP]
    assert list(time_sights(0, 0, FAT)) == [Sight.TIME_RANGE]
    assert list(path_sights(b"/s", b"/" + b"t" * 200, b"x" * 4000)) == [Sight.PATH_LENGTH]
    assert list(path_sights(b"/s", b"/t", b"x" * 4093)) == []


def test_what_seems_to_be_there_is_said_to_be_compared_where_it_is() -> None:
    there, moved = {Sight.THERE: 1}, Plan("p", (Source(b"/s"),), b"/t", Operation.MOVE)
    assert findings(facts(sights=there))["already_there"].message == "1 entry of that name and size is there already"
    said = findings(facts(sights=there, plan=moved))["already_there"].message
    assert said.endswith("is there already: its content will be compared, other content is a conflict (fail)")


def test_methods() -> None:
    move = Plan("p", (Source(b"/s"),), b"/t", Operation.MOVE)
    copy = Plan("p", (Source(b"/s"),), b"/t", reflink=False)
    assert [method_of(move, s) for s in ([True], [False], [True, False], [])] == ["rename", "copy", "copy", "copy"]
    assert method_of(copy, [True]) == "copy"
    sharing = Plan("p", (Source(b"/s"),), b"/t")
    by_type = [("xfs", "reflink?"), ("fuseblk", "reflink?"), ("ext4", "copy"), ("tmpfs", "copy")]
    assert [(t, method_of(sharing, [True], [target(t)])) for t, _ in by_type] == by_type


@pytest.mark.parametrize(
    ("path", "mounted_at", "kind"),
    [
        (b"/mnt/stick/x", b"/", "not_mounted"),
        (b"/media/ana/stick", b"/media/ana/stick", "made"),
        (b"/run/media/ana/stick", b"/run", "not_mounted"),
        (b"/home/ana/x", b"/", "made"),
        (b"/mnt/x", b"", ""),
    ],
)
def test_where_a_target_comes_to_be_that_is_not_there(path: bytes, mounted_at: bytes, kind: str) -> None:
    given = msgspec.structs.replace(facts(target(mount_point=mounted_at)), paths=(path,))
    found = judge(given)[0]
    assert [f.kind for f in found] == ([kind] if kind else [])
    there = msgspec.structs.replace(given, target_exists=(True,))
    assert [f.kind for f in judge(there)[0]] == ["target_exists"]
