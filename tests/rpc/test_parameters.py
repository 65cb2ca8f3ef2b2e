"""Parameters of every method, fitting or not: they are taken or refused, and nothing else happens."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing import Fuzzer
from migmond.domain import api
from migmond.domain.errors import MigmondError
from migmond.domain.identity import Identity, Peer, Role
from migmond.planning.plans import plan_of, spec_of
from migmond.planning.selection import selector_of
from migmond.rpc.methods import standard_registry
from migmond.wire.jsonrpc import Encoding
from migmond.wire.requests import Batch, Malformed, RequestCodec

PEER = Peer(Identity(1000, 1000), Role.OPERATOR)


@given(st.randoms(use_true_random=False), st.sampled_from(list(Encoding)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_parameters_fit_or_are_refused(rng: random.Random, encoding: Encoding) -> None:
    codec = RequestCodec(encoding)
    try:
        data = codec.encode(Fuzzer(rng).request())
    except OverflowError:  # msgpack has no form for it
        return
    try:
        message = codec.decode(data)
    except Malformed:
        return
    assert not isinstance(message, Batch)
    method = standard_registry().get(message.method)
    if method is None or not bytes(message.params):
        return
    with contextlib.suppress(msgspec.DecodeError):
        _use(codec.convert(message.params, method.params))


def _use(params: Any) -> None:
    """What every method does with them first."""
    with contextlib.suppress(MigmondError):
        match params:
            case api.PlanParams() | api.StartParams():
                if params.plan is not None:
                    plan = plan_of(params.plan, PEER)
                    assert plan_of(spec_of(plan), PEER) == plan
            case api.FilesParams():
                selector_of(params.selector)
