from __future__ import annotations

import pytest

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
