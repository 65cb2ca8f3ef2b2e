"""The served OpenAPI document against the gateway that serves it: schemathesis makes requests up from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from daemon import EmbeddedDaemon
from gateway import BASE, Browser, RunningGateway
from migmond_web.openapi import document

load_all_checks()
CHECKED = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


def names_what_was_asked_for(_context: Any, response: Any, case: Any) -> None:
    """The field that a refusal names is a parameter of the operation, or one that was sent."""
    if response.status_code != 422 or (field := response.json()["error"]["field"]) is None:
        return
    described = document()
    operation = described["paths"][case.operation.path][case.operation.method]
    known = {p["name"] for p in operation.get("parameters", ())}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in body:
        body = described["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    sent = [of for of in (case.query, case.body) if isinstance(of, dict)]
    known |= set(body.get("properties", ())) | {name for of in sent for name in of}
    assert field in known or re.split(r"[.\[]", field)[0] in known, field


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    home = tmp_path_factory.mktemp("openapi") / "home"
    with EmbeddedDaemon(home) as daemon, RunningGateway(daemon) as running:
        signed_in = Browser(running)
        assert signed_in.sign_in().status == 201
        yield signed_in


SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS: list[Any] = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
SIGNING_OUT = ("DELETE", f"{BASE}/session")
"""Nothing more would be answered after it."""


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method.upper()} {o.path.removeprefix(BASE)}")
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(data=st.data())
def test_every_answer_is_as_described(operation: Any, browser: Browser, data: st.DataObject) -> None:
    if (operation.method.upper(), operation.path) == SIGNING_OUT:
        return
    modes = st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    case = data.draw(operation.as_strategy(generation_mode=data.draw(modes)))
    origin = browser.gateway.origin
    sent = {"Cookie": browser.cookie, "X-Migmond": "1", "Host": origin.removeprefix("http://")}
    case.call_and_validate(base_url=origin, headers=sent, checks=[*CHECKED, names_what_was_asked_for])


def test_what_is_served_is_the_document(browser: Browser) -> None:
    assert browser.ask("GET", "/openapi.json").json == msgspec.json.decode(msgspec.json.encode(document()))
