from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain import api
from migmond.domain.errors import InvalidInput, MigmondError, NotPermitted, PlanInfeasible
from migmond.domain.identity import Identity, Peer, Role
from migmond.domain.limits import Limits
from migmond.planning.plans import plan_of, spec_of

ANA = Peer(Identity(1000, 1000), Role.OPERATOR)
ROOT = Peer(Identity(0, 0), Role.ADMIN)


def spec(source: str = "/a", destination: str = "/b", **fields: object) -> api.PlanSpec:
    return api.PlanSpec(sources=(api.SourceSpec(source),), destination=destination, **fields)  # type: ignore[arg-type]


def test_a_plan_survives_the_way_out_and_back() -> None:
    sent = spec("/a/ü\\xff", "/b/x", selector=api.SelectorSpec(include=("*.jpg",), under="p\\x0aq"), workers=3)
    plan = plan_of(sent, ANA)
    assert plan.sources[0].path == b"/a/\xc3\xbc\xff"
    assert plan_of(spec_of(plan), ANA) == plan


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (spec("a"), InvalidInput, "not absolute"),
        (spec("/a", ""), InvalidInput, "not absolute"),
        (spec("/a\\x00b"), InvalidInput, "zero byte"),
        (spec("/a", "/a"), PlanInfeasible, "same"),
        (spec("/a/", "/a"), PlanInfeasible, "same"),
        (spec("/a", "/a/b"), PlanInfeasible, "inside"),
        (spec("/a", "/b", workers=0), InvalidInput, "workers"),
        (spec("/a", "/b", limits=Limits(io_bytes_per_s=0)), InvalidInput, "limit"),
        (spec("/a", "/b", limits=Limits(timetable="08:00,10MiB:1MiB")), InvalidInput, "direction"),
        (spec("/a", "/b", privileged=True), NotPermitted, "admin"),
        (spec("/a", "/b", selector=api.SelectorSpec(larger_than=-1)), InvalidInput, "negative"),
        (api.PlanSpec(sources=(), destination="/b"), InvalidInput, "sources"),
        (
            api.PlanSpec(sources=(api.SourceSpec("/a"), api.SourceSpec("/a/b", "x")), destination="/b"),
            PlanInfeasible,
            "overlap",
        ),
        (
            api.PlanSpec(sources=(api.SourceSpec("/a", "x"), api.SourceSpec("/c", "x")), destination="/b"),
            PlanInfeasible,
            "two sources",
        ),
        (
            api.PlanSpec(sources=(api.SourceSpec("/a", "../x"),), destination="/b"),
            InvalidInput,
            "plain path",
        ),
    ],
)
def test_bad_plans_are_refused_clearly(bad: api.PlanSpec, error: type[MigmondError], words: str) -> None:
    with pytest.raises(error, match=words):
        plan_of(bad, ANA)


def test_an_admin_may_ask_for_privilege() -> None:
    assert plan_of(spec(privileged=True), ROOT).privileged


def test_a_sibling_with_a_common_prefix_is_no_overlap() -> None:
    assert plan_of(spec("/data/a", "/data/ab"), ANA).destination == b"/data/ab"


PATHS = st.sampled_from(["/", "/a", "/a/b", "/ab", "/b", "/b/x", "/a/b/c", "/c"])
INFINITE, NO_NUMBER = float("inf"), float("nan")


@pytest.mark.parametrize(
    "bad",
    [
        spec("/" + "a" * 5000),
        spec("/a", "/" + "b" * 5000),
        api.PlanSpec((api.SourceSpec("/a", "x/" * 3000 + "x"),), "/b"),
        api.PlanSpec(tuple(api.SourceSpec(f"/{'a' * 400}{i}", f"x{i}") for i in range(1000)), "/b"),
        spec("/a", selector=api.SelectorSpec(include=("x" * 100,) * 5000)),
        spec("/a", limits=Limits(io_bytes_per_s=10**30)),
        spec("/a", limits=Limits(io_ops_per_s=NO_NUMBER)),
        spec("/a", limits=Limits(io_ops_per_s=INFINITE)),
        spec("/a", selector=api.SelectorSpec(newer_than=NO_NUMBER)),
        spec("/a", selector=api.SelectorSpec(older_than=INFINITE)),
        spec("/a", selector=api.SelectorSpec(larger_than=10**30)),
        spec("/a", selector=api.SelectorSpec(errors=("x",) * 5000)),
        spec("/a", name="x\n<3>forged"),
    ],
)
def test_what_no_machine_can_mean_is_refused(bad: api.PlanSpec) -> None:
    with pytest.raises(InvalidInput):
        plan_of(bad, ANA)


@pytest.mark.hazard(17)
def test_two_slashes_do_not_hide_an_overlap() -> None:
    with pytest.raises(PlanInfeasible):
        plan_of(spec("//a", "/a/b"), ANA)


@pytest.mark.hazard(17)
@given(st.lists(st.tuples(PATHS, st.sampled_from(["", "x", "y"])), min_size=1, max_size=4), PATHS)
def test_overlaps_agree_with_a_comparison_of_all_pairs(sources: list[tuple[str, str]], destination: str) -> None:
    def below(inner: str, outer: str) -> bool:
        return f"{inner}/".replace("//", "/").startswith(f"{outer}/".replace("//", "/"))

    paths = [p for p, _ in sources]
    targets = [f"{destination}/{into}".replace("//", "/").rstrip("/") or "/" for _, into in sources]
    bad = any(below(t, p) for t in targets for p in paths) or any(
        below(one, other) or below(other, one) or targets[i] == targets[j]
        for i, one in enumerate(paths)
        for j, other in enumerate(paths)
        if i < j
    )
    wanted = api.PlanSpec(tuple(api.SourceSpec(p, into) for p, into in sources), destination)
    try:
        plan_of(wanted, ANA)
    except PlanInfeasible:
        assert bad
    else:
        assert not bad


def test_a_thousand_sources_are_compared_in_no_time() -> None:
    sources = tuple(api.SourceSpec(f"/data/{i}", f"x{i}") for i in range(1000))
    began = time.process_time()
    plan_of(api.PlanSpec(sources, "/backup"), ANA)
    assert time.process_time() - began < 0.5
